import COpenSSL
import Glibc

/// What a certificate says about its holder, checked: names that would break out of OpenSSL's extension syntax never reach it.
public struct CertificateProfile: Sendable, Equatable {
    /// What the holder may do with it.
    public enum Role: Sendable, Equatable {
        /// Show it as a server, as a client, or both; sign nothing.
        case member(Set<Certificate.Purpose>)
        /// Sign others. With a limit, at most so many authorities may stand below it.
        case authority(pathLength: Int?)
        /// A server that signs its clients' certificates itself. It names both purposes: what it signs may have no other.
        case serverThatSigns
    }

    public let commonName: String
    public let organization: String?
    public let dnsNames: [String]
    public let ipAddresses: [String]
    public let emails: [String]
    public let uris: [String]
    public let role: Role

    public init(
        commonName: String, organization: String? = nil, dnsNames: [String] = [], ipAddresses: [String] = [],
        emails: [String] = [], uris: [String] = [], role: Role = .member([.server])
    ) throws(PKIError) {
        for name in dnsNames where !isHostName(name) { throw .invalidName(name) }
        for address in ipAddresses where !Self.isAddress(address) { throw .invalidAddress(address) }
        for email in emails where !isEmail(email) { throw .invalidEmail(email) }
        for uri in uris where !isURI(uri) { throw .invalidURI(uri) }
        if !isNamePart(commonName) { throw .invalidText(commonName, flag: "--common-name") }
        if let organization, !isNamePart(organization) { throw .invalidText(organization, flag: "--organization") }
        self.commonName = commonName
        self.organization = organization
        self.dnsNames = dnsNames
        self.ipAddresses = ipAddresses
        self.emails = emails
        self.uris = uris
        self.role = role
    }

    /// For `X509_add_ext` and for requests alike: (NID, value).
    func extensions(forKeyOf algorithm: String) -> [(Int32, String)] {
        // RSA key exchange is off in our own policy, but a peer may check for the bit.
        let use = algorithm == "RSA" ? "digitalSignature,keyEncipherment" : "digitalSignature"
        var all: [(Int32, String)] =
            switch role {
            case .member(let purposes):
                [(NID_basic_constraints, "critical,CA:FALSE"), (NID_key_usage, "critical,\(use)")]
                    + (purposes.isEmpty ? [] : [(NID_ext_key_usage, purposes.extensionText)])
            case .authority(let length):
                [
                    (NID_basic_constraints, "critical,CA:TRUE\(length.map { ",pathlen:\($0)" } ?? "")"),
                    (NID_key_usage, "critical,keyCertSign,cRLSign"),
                ]
            case .serverThatSigns:
                [
                    (NID_basic_constraints, "critical,CA:TRUE,pathlen:0"),
                    (NID_key_usage, "critical,\(use),keyCertSign,cRLSign"),
                    (NID_ext_key_usage, Set(Certificate.Purpose.allCases).extensionText),
                ]
            }
        let names =
            dnsNames.map { "DNS:\($0)" } + ipAddresses.map { "IP:\($0)" } + emails.map { "email:\($0)" }
            + uris.map { "URI:\($0)" }
        if !names.isEmpty { all.append((NID_subject_alt_name, names.joined(separator: ","))) }
        return all
    }

    func fill(_ name: OpaquePointer?) throws(PKIError) {
        for (nid, text) in [(NID_organizationName, organization), (NID_commonName, commonName)] {
            guard let bytes = text.map({ Array($0.utf8) }) else { continue }
            let added = X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, bytes, Int32(bytes.count), -1, 0)
            guard added == 1 else { throw .fromLibrary() }
        }
    }
}

extension Set<Certificate.Purpose> {
    var extensionText: String {
        [contains(.server) ? "serverAuth" : nil, contains(.client) ? "clientAuth" : nil].compactMap { $0 }.joined(separator: ",")
    }
}

extension Certificate {
    /// A certificate that vouches for itself.
    /// - Parameter days: from now; negative ones are over already, for tests.
    public static func selfSigned(
        key: PrivateKey, profile: CertificateProfile, days: Int
    ) throws(PKIError) -> Certificate {
        let draft = try CertificateDraft()
        try profile.fill(X509_get_subject_name(draft.x509))
        guard X509_set_issuer_name(draft.x509, X509_get_subject_name(draft.x509)) == 1,
            X509_set_pubkey(draft.x509, key.pointer) == 1
        else { throw .fromLibrary() }
        draft.setDates(days: days, notAfterLimit: nil)
        try draft.add(profile.extensions(forKeyOf: key.algorithm) + [(NID_subject_key_identifier, "hash")], issuer: draft.x509)
        return try draft.sign(with: key)
    }
}

/// A certificate on its way to a signature.
final class CertificateDraft {
    private let handle: X509Handle
    var x509: OpaquePointer { handle.pointer }

    init() throws(PKIError) {
        guard let x509 = X509_new() else { throw .fromLibrary() }
        handle = X509Handle(owning: x509)
        guard X509_set_version(x509, 2) == 1 else { throw .fromLibrary() }  // 2 means version 3
        guard let number = BN_new() else { throw .fromLibrary() }
        defer { BN_free(number) }
        guard BN_rand(number, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1,
            BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509)) != nil
        else { throw .fromLibrary() }
    }

    /// - Parameter notAfterLimit: seconds since 1970; nothing outlives its authority.
    func setDates(days: Int, notAfterLimit: Int64?) {
        let now = Int64(time(nil))
        let until = min(now + Int64(days) * 86_400, notAfterLimit ?? .max)
        // From five minutes ago, for clients whose clock is a little behind; a day before the end where that is over already.
        ASN1_TIME_set(X509_getm_notBefore(x509), time_t(min(now - 300, until - 86_400)))
        ASN1_TIME_set(X509_getm_notAfter(x509), time_t(until))
    }

    func add(_ extensions: [(Int32, String)], issuer: OpaquePointer) throws(PKIError) {
        var context = X509V3_CTX()
        X509V3_set_ctx(&context, issuer, x509, nil, nil, 0)
        for (nid, value) in extensions {
            guard let item = X509V3_EXT_conf_nid(nil, &context, nid, value) else { throw .fromLibrary() }
            defer { X509_EXTENSION_free(item) }
            guard X509_add_ext(x509, item, -1) == 1 else { throw .fromLibrary() }
        }
    }

    func sign(with key: PrivateKey) throws(PKIError) -> Certificate {
        guard X509_sign(x509, key.pointer, key.digest) > 0 else { throw .fromLibrary() }
        return try Certificate(handle)
    }
}

/// RFC 1123's letters, digits and hyphens, and one leading "*." at most.
func isHostName(_ name: String) -> Bool {
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

extension CertificateProfile {
    /// Whether a text is an IPv4 or IPv6 address, without a zone.
    public static func isAddress(_ text: String) -> Bool {
        var octets = in6_addr()
        return inet_pton(AF_INET, text, &octets) == 1 || inet_pton(AF_INET6, text, &octets) == 1
    }
}

/// One "@" with something on both sides, and nothing that means something to OpenSSL.
private func isEmail(_ text: String) -> Bool {
    let parts = text.utf8.split(separator: UInt8(ascii: "@"), omittingEmptySubsequences: false)
    return parts.count == 2 && isHostName(String(parts[1]) ?? "") && !parts[0].isEmpty && isHarmless(text)
}

private func isURI(_ text: String) -> Bool {
    guard let colon = text.firstIndex(of: ":"), colon != text.startIndex else { return false }
    return isHarmless(text)
}

/// Printable ASCII without what OpenSSL's extension syntax splits at.
private func isHarmless(_ text: String) -> Bool {
    (1...1000).contains(text.utf8.count)
        && text.utf8.allSatisfy {
            (33...126).contains($0) && ![UInt8(ascii: ","), UInt8(ascii: "\\"), UInt8(ascii: "\"")].contains($0)
        }
}

private func isNamePart(_ text: String) -> Bool {
    (1...64).contains(text.unicodeScalars.count) && !text.unicodeScalars.contains { $0.value < 32 }
}
