import COpenSSL
import Glibc

/// What is wrong, or soon will be, with a certificate and what belongs to it.
public struct Finding: Sendable, Equatable {
    public enum Severity: Sendable, Equatable {
        /// Clients or servers will refuse it.
        case wrong
        /// It works, for some or for now.
        case warning
    }

    public let severity: Severity
    /// A sentence.
    public let text: String

    public init(severity: Severity, text: String) {
        self.severity = severity
        self.text = text
    }

    static func wrong(_ text: String) -> Finding { Finding(severity: .wrong, text: text) }
    static func warning(_ text: String) -> Finding { Finding(severity: .warning, text: text) }

    /// Judges one certificate by itself.
    /// - Parameter moment: seconds since 1970; now where nil.
    public static func about(_ certificate: Certificate, at moment: Int64? = nil) -> [Finding] {
        let now = moment ?? Int64(time(nil))
        var findings: [Finding] = []
        let details = certificate.details
        if certificate.notAfter < now {
            findings.append(.wrong("It expired on \(dateText(certificate.notAfter)); have a new one signed."))
        } else if certificate.notBefore > now {
            findings.append(.wrong("It is not valid before \(dateText(certificate.notBefore)); compare the clocks."))
        } else if certificate.notAfter - now < renewal {
            findings.append(
                .warning(
                    "It expires in \((certificate.notAfter - now) / 86_400) days, on \(dateText(certificate.notAfter)); renew it."
                ))
        }
        if details.keyAlgorithm == "RSA", details.keyBits < 2048 {
            findings.append(.wrong("Its RSA key has \(details.keyBits) bits, and 2048 are the least; make a new key."))
        }
        if details.keyAlgorithm == "EC", details.keyBits < 224 {
            findings.append(.wrong("Its key is too short (\(details.key)); make a new one, such as P-256."))
        }
        let signature = details.signatureAlgorithm.lowercased()
        if !details.isSelfIssued, signature.contains("md5") || signature.contains("sha1") {
            findings.append(
                .wrong("It is signed with \(details.signatureAlgorithm), which nobody trusts any more; have it signed again."))
        }
        return findings
    }

    /// Judges a certificate as its holder would use it.
    /// - Parameters:
    ///   - chain: the certificate first, then what its file has behind it.
    ///   - key: nil where it is not to be judged.
    ///   - host: a name or an address that clients ask for.
    ///   - moment: seconds since 1970; now where nil.
    public static func about(
        _ chain: [Certificate], key: PrivateKey?, purpose: Certificate.Purpose, host: String?, at moment: Int64? = nil
    ) -> [Finding] {
        guard let leaf = chain.first else { return [.wrong("There is no certificate.")] }
        let details = leaf.details
        var findings = about(leaf, at: moment)
        if let key, !leaf.matches(key) {
            let place = chain.firstIndex { $0.matches(key) }
            findings.append(
                .wrong(
                    place.map { "The key belongs to certificate \($0 + 1) in the file; it must stand first." }
                        ?? "The private key is not this certificate's; look for the key that its request was made with."))
        }
        if let purposes = details.purposes, !purposes.contains(purpose) {
            let use = purpose == .server ? "servers (serverAuth)" : "clients (clientAuth)"
            findings.append(
                .wrong("It is not meant for \(use); have one signed with: ftpsgate cert sign --for \(purpose.rawValue)."))
        }
        let isAuthorityAlone = details.isAuthority && details.purposes == nil
        if purpose == .server, !isAuthorityAlone, leaf.dnsNames.isEmpty, leaf.ipAddresses.isEmpty {
            findings.append(.warning("It has no alternative names; clients of today ignore the common name: add --dns."))
        }
        if let host, !leaf.isFor(host: host) {
            let names = (leaf.dnsNames + leaf.ipAddresses).joined(separator: ", ")
            findings.append(.wrong("It is not for \(host), but for \(names.isEmpty ? "no name at all" : names)."))
        }
        if leaf.mustStaple {
            findings.append(
                .warning(
                    "It demands a stapled OCSP response (must-staple): put one beside it as FILE.ocsp, or let the gateway fetch it with --ocsp-fetch."
                ))
        }
        return findings + about(chainOf: chain, moment)
    }

    private static func about(chainOf chain: [Certificate], _ moment: Int64?) -> [Finding] {
        var findings: [Finding] = []
        for (lower, upper) in zip(chain, chain.dropFirst()) where !lower.isSigned(by: upper) {
            findings.append(
                .wrong(
                    "Its chain is out of order: \(lower.subject) is followed by \(upper.subject), which has not signed it; put each authority behind what it signed."
                ))
        }
        for authority in chain.dropFirst() {
            findings += about(authority, at: moment).map {
                Finding(severity: $0.severity, text: "\(authority.subject): \($0.text)")
            }
        }
        guard let last = chain.last else { return findings }
        if last.details.isSelfIssued {
            if chain.count == 1 {
                findings.append(.warning("It is self-signed: every client will ask whether it is to be trusted."))
            }
        } else if !isKnownToSystem(chain) {
            findings.append(
                .warning(
                    "Nothing leads from it to an authority that this system knows: its issuer \(last.details.issuer) is a private authority, or an intermediate certificate is missing behind it."
                ))
        }
        return findings
    }

    /// Whether the system's own authorities vouch for it, whatever the date.
    private static func isKnownToSystem(_ chain: [Certificate]) -> Bool {
        guard let leaf = try? X509Handle(der: chain[0].der), let store = X509_STORE_new(), let context = X509_STORE_CTX_new(),
            let others = OPENSSL_sk_new_null()
        else { return false }
        let handles = chain.dropFirst().compactMap { try? X509Handle(der: $0.der) }
        for handle in handles { OPENSSL_sk_push(others, UnsafeRawPointer(handle.pointer)) }
        defer {
            X509_STORE_CTX_free(context)
            X509_STORE_free(store)
            OPENSSL_sk_free(others)
            ERR_clear_error()
        }
        X509_STORE_set_default_paths(store)
        X509_STORE_set_flags(store, UInt(X509_V_FLAG_NO_CHECK_TIME))
        guard X509_STORE_CTX_init(context, store, leaf.pointer, others) == 1 else { return false }
        return withExtendedLifetime(handles) { X509_verify_cert(context) == 1 }
    }

    /// When a renewal is due: authorities that sign for 90 days want it at 30.
    private static let renewal: Int64 = 30 * 86_400
}
