import Glibc
import PKI
import TestSupport
import Testing

@Suite struct CertificateTests {
    let folder = TemporaryFolder()

    func profile(_ name: String = "ftps.example.com") throws -> CertificateProfile {
        try CertificateProfile(commonName: name, dnsNames: [name, "*.example.net"], ipAddresses: ["192.0.2.7", "2001:db8::7"])
    }

    @Test func aSelfSignedCertificateSaysWhatOpenSSLReads() throws {
        let key = try PrivateKey.make(.p256)
        let certificate = try Certificate.selfSigned(key: key, profile: profile(), days: 30)
        let path = folder.file("a.crt")
        try certificate.write(to: path)
        #expect(Shell.mode(of: path) == 0o644)

        let text = Shell.run("openssl x509 -in \(path) -noout -text -fingerprint -sha256").output
        #expect(text.contains("DNS:ftps.example.com, DNS:*.example.net, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7"))
        #expect(text.contains("TLS Web Server Authentication"))
        #expect(text.contains("CA:FALSE"))
        #expect(text.contains(certificate.sha256Fingerprint))
        #expect(Shell.run("openssl verify -CAfile \(path) \(path) 2>&1").output == "\(path): OK\n")

        #expect(certificate.subject == "CN=ftps.example.com")
        #expect(certificate.dnsNames == ["ftps.example.com", "*.example.net"])
        #expect(certificate.ipAddresses == ["192.0.2.7", "2001:db8::7"])
        #expect(certificate.matches(key))
        #expect(try !certificate.matches(PrivateKey.make(.p256)))
        let now = Int64(time(nil))
        #expect(certificate.notBefore < now)
        #expect(abs(certificate.notAfter - now - 30 * 86_400) < 60)
    }

    @Test func allCertificatesOfAFileAreReadInTheirOrder() throws {
        let first = try Certificate.selfSigned(key: .make(.p256), profile: profile("one"), days: 1)
        let second = try Certificate.selfSigned(key: .make(.rsa(bits: 2048)), profile: profile("two"), days: 1)
        let path = folder.write("Bag Attributes\n\(first.pem)some words between\n\(second.pem)", to: "chain.pem")
        #expect(try Certificate.readAll(file: path) == [first, second])
    }

    @Test func aDamagedCertificateIsNamed() throws {
        let whole = try Certificate.selfSigned(key: .make(.p256), profile: profile(), days: 1).pem
        let cut = folder.write(String(whole.dropLast(80)), to: "cut.pem")
        #expect(throws: PKIError.self) { try Certificate.readAll(file: cut) }
        let none = folder.write("no certificate\n", to: "none.pem")
        #expect(throws: PKIError.noCertificate(file: none)) { try Certificate.readAll(file: none) }
        #expect(throws: PKIError.self) { try Certificate(der: [0x30, 0x03, 1, 2, 3]) }
    }

    @Test(arguments: ["a b", "a,DNS:evil", "-x/..", "", "a..b", "x\n", "*.*.com", String(repeating: "a", count: 64) + ".com"])
    func namesThatAreNoHostNamesAreRefused(name: String) {
        #expect(throws: PKIError.invalidName(name)) { try CertificateProfile(commonName: "a", dnsNames: [name], ipAddresses: []) }
    }

    @Test func aRequestHoldsTheNamesAndProvesItsKey() throws {
        let key = try PrivateKey.make(.p256)
        let path = folder.file("a.csr")
        try CertificateRequest.make(key: key, profile: profile()).write(to: path)
        let text = Shell.run("openssl req -in \(path) -noout -text -verify 2>&1").output
        #expect(text.contains("self-signature verify OK"))
        #expect(text.contains("DNS:ftps.example.com"))
        let request = try CertificateRequest(file: path)
        #expect(request.isSignedByItsKey)
        #expect(request.matches(key))
        #expect(try !request.matches(PrivateKey.make(.p256)))
    }
}
