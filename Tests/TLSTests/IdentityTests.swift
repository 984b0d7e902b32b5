import COpenSSL
import Glibc
import PKI
import TestSupport
import Testing

@testable import TLS

@Suite struct IdentityTests {
    private let folder = TemporaryFolder()
    private let leaf: Certificate
    private let issuer: Certificate
    private let issuerKey: PrivateKey

    init() throws {
        issuerKey = try PrivateKey.make(.p256)
        issuer = try Certificate.selfSigned(
            key: issuerKey, profile: CertificateProfile(commonName: "ca", role: .authority(pathLength: nil)), days: 1)
        try issuerKey.write(to: folder.file("ca.key"))
        try issuer.write(to: folder.file("ca.crt"))
        let authority = try CertificateAuthority(certificateFile: folder.file("ca.crt"), keyFile: folder.file("ca.key"))
        let key = try PrivateKey.make(.p256)
        let profile = try CertificateProfile(commonName: "a.example.com", dnsNames: ["a.example.com"])
        leaf = try authority.sign(CertificateRequest.make(key: key, profile: profile), role: profile.role, days: 1)
        try key.write(to: folder.file("a.key"))
        try Certificate.write([leaf, issuer], to: folder.file("a.crt"))
    }

    /// The issuer's word that the certificate is good, until so many seconds from now.
    private func staple(until seconds: Int) throws {
        let (subject, signer) = try (leaf.handle(), issuer.handle())
        let basic = OCSP_BASICRESP_new()
        let (from, until) = (X509_gmtime_adj(nil, -1000), X509_gmtime_adj(nil, seconds))
        let id = OCSP_cert_to_id(nil, subject.pointer, signer.pointer)
        let good = V_OCSP_CERTSTATUS_GOOD
        try #require(OCSP_basic_add1_status(basic, id, good, 0, nil, from, until) != nil)
        try #require(OCSP_basic_sign(basic, signer.pointer, issuerKey.pointer, EVP_sha256(), nil, 0) == 1)
        let response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic)
        var der: UnsafeMutablePointer<UInt8>?
        let count = i2d_OCSP_RESPONSE(response, &der)
        try #require(count > 0)
        folder.write(Array(UnsafeBufferPointer(start: der, count: Int(count))), to: "a.crt.ocsp")
        CRYPTO_free(der, #file, #line)
        OCSP_RESPONSE_free(response)
        OCSP_CERTID_free(id)
        for time in [from, until] { ASN1_STRING_free(time) }
        OCSP_BASICRESP_free(basic)
    }

    private func isCurrent(_ identity: TLSIdentity, keyFile: String? = nil) -> Bool {
        let now = identity.said.map { ($0.file, FileDigest($0.file)) }
        return identity.isCurrent(keyFile: keyFile ?? folder.file("a.key"), Dictionary(uniqueKeysWithValues: now))
    }

    private func read() throws -> TLSIdentity {
        try TLSIdentity(certificateFile: folder.file("a.crt"), keyFile: folder.file("a.key"))
    }

    @Test func itIsCurrentWhileItsFilesSayWhatTheySaid() throws {
        let identity = try read()
        #expect(identity.said.map(\.file) == ["a.crt", "a.key", "a.crt.ocsp"].map(folder.file))
        #expect(isCurrent(identity))
        #expect(!isCurrent(identity, keyFile: folder.file("other.key")))
        #expect(!identity.isCurrent(keyFile: folder.file("a.key"), [:]))
        folder.write("no", to: "a.crt.ocsp")
        #expect(!isCurrent(identity))
    }

    @Test(arguments: [(1000, true), (-10, false)]) func aStapleWhoseTimeIsOverIsJudgedAgain(until: Int, isCurrent: Bool) throws {
        // Clocks may differ by some minutes: it is still taken.
        try staple(until: until)
        let identity = try read()
        #expect(identity.isStapled)
        #expect(self.isCurrent(identity) == isCurrent)
    }

    @Test func whatCameFromAPipeIsReadAgain() throws {
        let writer = "timeout 30 sh -c 'cat key > a.key' >&2 &"
        #expect(Shell.run("cd \(folder.path) && mv a.key key && mkfifo a.key && { \(writer) }").status == 0)
        #expect(!isCurrent(try read()))
    }

    @Test func inMemoryNothingIsCurrent() throws {
        let unsaved = try UnsavedIdentity(commonName: "a", dnsNames: [], ipAddresses: [], days: 1)
        #expect(!TLSIdentity(unsaved).isCurrent(keyFile: nil, [:]))
    }
}
