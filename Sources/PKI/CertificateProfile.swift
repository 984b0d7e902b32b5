import COpenSSL
import Glibc

/// What a gateway's certificate says about its holder, checked: names that would break out of OpenSSL's extension syntax
/// never reach it.
public struct CertificateProfile: Sendable, Equatable {
    public let commonName: String
    public let dnsNames: [String]
    public let ipAddresses: [String]

    public init(commonName: String, dnsNames: [String], ipAddresses: [String]) throws(PKIError) {
        for name in dnsNames where !isHostName(name) { throw .invalidName(name) }
        for address in ipAddresses where !isAddress(address) { throw .invalidName(address) }
        guard !commonName.isEmpty, commonName.utf8.count <= 64, !commonName.utf8.contains(0) else {
            throw .invalidName(commonName)
        }
        self.commonName = commonName
        self.dnsNames = dnsNames
        self.ipAddresses = ipAddresses
    }

    /// For `X509_add_ext` and for requests alike: (NID, value).
    func extensions(for key: PrivateKey) -> [(Int32, String)] {
        // RSA key exchange is off in our own policy, but a peer may check for the bit.
        let usage = key.algorithm == "RSA" ? "digitalSignature,keyEncipherment" : "digitalSignature"
        var all: [(Int32, String)] = [
            (NID_basic_constraints, "critical,CA:FALSE"),
            (NID_key_usage, "critical,\(usage)"),
            (NID_ext_key_usage, "serverAuth"),
        ]
        let names = dnsNames.map { "DNS:\($0)" } + ipAddresses.map { "IP:\($0)" }
        if !names.isEmpty { all.append((NID_subject_alt_name, names.joined(separator: ","))) }
        return all
    }

    func fill(_ name: OpaquePointer?) throws(PKIError) {
        let bytes = Array(commonName.utf8)
        let added = X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, bytes, Int32(bytes.count), -1, 0)
        guard added == 1 else { throw .fromLibrary() }
    }
}

extension Certificate {
    /// A certificate that vouches for itself; it signs no others.
    public static func selfSigned(
        key: PrivateKey, profile: CertificateProfile, days: Int
    ) throws(PKIError) -> Certificate {
        guard let x509 = X509_new() else { throw .fromLibrary() }
        let handle = X509Handle(owning: x509)
        guard X509_set_version(x509, 2) == 1 else { throw .fromLibrary() }  // 2 means version 3
        try setRandomSerial(x509)
        X509_gmtime_adj(X509_getm_notBefore(x509), -300)  // clients whose clock is a little behind
        X509_gmtime_adj(X509_getm_notAfter(x509), days * 86_400)
        try profile.fill(X509_get_subject_name(x509))
        guard X509_set_issuer_name(x509, X509_get_subject_name(x509)) == 1, X509_set_pubkey(x509, key.pointer) == 1 else {
            throw .fromLibrary()
        }
        var context = X509V3_CTX()
        X509V3_set_ctx(&context, x509, x509, nil, nil, 0)
        for (nid, value) in profile.extensions(for: key) + [(NID_subject_key_identifier, "hash")] {
            guard let item = X509V3_EXT_conf_nid(nil, &context, nid, value) else { throw .fromLibrary() }
            defer { X509_EXTENSION_free(item) }
            guard X509_add_ext(x509, item, -1) == 1 else { throw .fromLibrary() }
        }
        guard X509_sign(x509, key.pointer, key.digest) > 0 else { throw .fromLibrary() }
        return try Certificate(handle)
    }

    private static func setRandomSerial(_ x509: OpaquePointer) throws(PKIError) {
        guard let number = BN_new() else { throw .fromLibrary() }
        defer { BN_free(number) }
        guard BN_rand(number, 128, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1,
            BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509)) != nil
        else { throw .fromLibrary() }
    }
}

/// RFC 1123's letters, digits and hyphens, and one leading "*." at most.
private func isHostName(_ name: String) -> Bool {
    var labels = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    if labels.first?.elementsEqual("*".utf8) == true && labels.count > 1 { labels.removeFirst() }
    guard !labels.isEmpty, name.utf8.count <= 253 else { return false }
    return labels.allSatisfy { label in
        (1...63).contains(label.count)
            && label.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }
}

private func isAddress(_ text: String) -> Bool {
    var octets = in6_addr()
    return inet_pton(AF_INET, text, &octets) == 1 || inet_pton(AF_INET6, text, &octets) == 1
}
