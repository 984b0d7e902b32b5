import Wire

/// One property by which clients' certificates are let in or kept out (`--client-cert-allow`, `--client-cert-deny`):
/// "ou=Printers", "issuer=CN=my-authority*", "serial=0A:1B", "spki=" and a fingerprint.
public struct CertificateRule: Sendable, Hashable, CustomStringConvertible {
    /// Where the certificate is looked at. Any one of several values counts.
    public enum Field: String, Sendable, CaseIterable {
        /// Of the subject: common name, organisational unit, organisation.
        case cn, ou, o
        /// Of the alternative names; `upn` is the user principal name of Windows' directories.
        case email, dns, uri, upn
        /// Whole names as RFC 2253 writes them.
        case subject, issuer
        /// The serial number in hexadecimal.
        case serial
        /// The SHA-256 of the public key (a pin: it outlives renewals with the same key), and of the whole certificate.
        case spki, sha256
    }

    public let field: Field
    /// `*` and `?` are wildcards; numbers are in upper case, without colons or leading zeros.
    public let pattern: String

    public var description: String { "\(field.rawValue)=\(pattern)" }

    /// - Returns: nil where the text is no rule.
    public init?(_ text: String) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, let field = Field(rawValue: parts[0]), !parts[1].isEmpty else { return nil }
        self.field = field
        switch field {
        case .serial:
            guard let number = Self.number(parts[1]) else { return nil }
            pattern = number
        case .spki, .sha256:
            guard let print = Self.fingerprint(parts[1]) else { return nil }
            pattern = print
        case .dns, .email: pattern = parts[1].lowercased()
        default: pattern = parts[1]
        }
    }

    func matches(_ certificate: Certificate) -> Bool {
        let details = certificate.details
        let texts =
            switch field {
            case .cn: details.commonNames
            case .ou: details.organizationalUnits
            case .o: details.organizations
            case .email: details.emails.map { $0.lowercased() }
            case .dns: certificate.dnsNames
            case .uri: details.uris
            case .upn: details.principalNames
            case .subject: [certificate.subject]
            case .issuer: [details.issuer]
            case .serial: [Self.number(details.serial) ?? ""]
            case .spki: [details.keyFingerprint.filter { $0 != ":" }]
            case .sha256: [certificate.sha256Fingerprint.filter { $0 != ":" }]
            }
        return texts.contains { wildcard(pattern, matches: $0) }
    }

    /// "0A:1B" and "a1b" are one number; a minus counts.
    private static func number(_ text: String) -> String? {
        let isNegative = text.hasPrefix("-")
        let digits = text.dropFirst(isNegative ? 1 : 0).filter { $0 != ":" }.uppercased()
        guard !digits.isEmpty, digits.utf8.allSatisfy(isHexadecimal) else { return nil }
        let rest = digits.drop { $0 == "0" }
        return (isNegative ? "-" : "") + (rest.isEmpty ? "0" : rest)
    }

    /// 64 hexadecimal digits, with or without colons; or "sha256//" and base64, as curl has it.
    private static func fingerprint(_ text: String) -> String? {
        if text.hasPrefix("sha256//") {
            guard let bytes = base64(text.dropFirst("sha256//".count)), bytes.count == 32 else { return nil }
            return bytes.map(hexadecimal).joined()
        }
        let digits = text.filter { $0 != ":" }.uppercased()
        return digits.utf8.count == 64 && digits.utf8.allSatisfy(isHexadecimal) ? digits : nil
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (65...70).contains(byte) }

    private static func base64(_ text: Substring) -> [UInt8]? {
        var (bytes, bits, count): ([UInt8], UInt32, Int) = ([], 0, 0)
        for byte in text.utf8 where byte != UInt8(ascii: "=") {
            let value: UInt8
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = byte - 65
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = byte - 71
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = byte + 4
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            default: return nil
            }
            (bits, count) = (bits << 6 | UInt32(value), count + 6)
            guard count >= 8 else { continue }
            count -= 8
            bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
        }
        return bytes
    }
}
