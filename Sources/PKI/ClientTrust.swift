import COpenSSL
import Glibc

/// How revocation lists count for clients' certificates (`--client-crl-check`).
public enum RevocationCheck: String, Sendable, CaseIterable {
    case off
    /// What a list names is refused; where there is no list, or an old one, the certificate passes.
    case soft
    /// Every authority in a client's chain must have a list that is up to date.
    case hard
}

/// Why a client's certificate is not taken.
public struct CertificateRejection: Error, Sendable, Equatable, CustomStringConvertible {
    /// One word for log and metrics.
    public enum Reason: String, Sendable, CaseIterable {
        case expired
        case notYetValid = "not_yet_valid"
        case unknownAuthority = "unknown_authority"
        case revoked
        case wrongPurpose = "wrong_purpose"
        case selfSigned = "self_signed"
        case chainTooLong = "chain_too_long"
        /// `hard`: an authority's list of revoked certificates is missing or out of date.
        case noRevocationList = "no_current_crl"
        /// `hard`: its authority's responder does not say that it is good.
        case noStatus = "no_ocsp_answer"
        /// It is good, but the operator's rules let others in.
        case notAllowed = "not_allowed"
        case noneSent = "none_sent"
        case other
    }

    public let reason: Reason
    /// OpenSSL's words.
    public let description: String

    public static let noneSent = CertificateRejection(reason: .noneSent, description: "the client sent none")

    /// Its authority's responder says so.
    public static let revoked = CertificateRejection(code: Int(X509_V_ERR_CERT_REVOKED))

    /// Nobody says that it is good, and somebody must (`--client-ocsp hard`).
    public static func noStatus(_ reason: String) -> CertificateRejection {
        CertificateRejection(reason: .noStatus, description: reason)
    }

    /// It did not sign the handshake with the certificate's key.
    public static let foreignKey = CertificateRejection(
        reason: .other, description: "the client does not have the certificate's private key")

    package init(reason: Reason, description: String) {
        self.reason = reason
        self.description = description
    }

    /// - Parameter code: X509_V_ERR_…
    package init(code: Int) {
        reason =
            switch Int32(truncatingIfNeeded: code) {
            case X509_V_ERR_CERT_HAS_EXPIRED: .expired
            case X509_V_ERR_CERT_NOT_YET_VALID: .notYetValid
            case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
                X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_CERT_UNTRUSTED,
                X509_V_ERR_INVALID_CA, X509_V_ERR_KEYUSAGE_NO_CERTSIGN, X509_V_ERR_CERT_SIGNATURE_FAILURE:
                .unknownAuthority
            case X509_V_ERR_CERT_REVOKED: .revoked
            case X509_V_ERR_UNABLE_TO_GET_CRL, X509_V_ERR_CRL_HAS_EXPIRED, X509_V_ERR_CRL_NOT_YET_VALID: .noRevocationList
            case X509_V_ERR_INVALID_PURPOSE, X509_V_ERR_CERT_REJECTED: .wrongPurpose
            case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: .selfSigned
            case X509_V_ERR_CERT_CHAIN_TOO_LONG, X509_V_ERR_PATH_LENGTH_EXCEEDED: .chainTooLong
            default: .other
            }
        description = String(cString: X509_verify_cert_error_string(code))
    }
}

/// Who is trusted to have signed clients' certificates, and what they have revoked. One judge for the TLS handshake, for
/// sessions that are resumed, and for `ftpsgate cert trust test`.
///
/// Unchecked: the X509_STORE is made here and never changed afterwards; OpenSSL locks what is inside.
public final class ClientTrust: @unchecked Sendable {
    public let authorities: [Certificate]
    public let revocationCheck: RevocationCheck
    /// How many authorities may stand between the client's certificate and the trusted one.
    public let depth: Int
    /// Where it is not empty, one of these must match.
    public let allowed: [CertificateRule]
    /// None of these may match.
    public let denied: [CertificateRule]
    /// X509_STORE *, for wrappers of OpenSSL in this package.
    package let store: OpaquePointer

    public static let defaultDepth = 5

    public init(
        authorities: [Certificate], revocationLists: [RevocationList] = [], revocationCheck: RevocationCheck = .off,
        depth: Int = defaultDepth, allowed: [CertificateRule] = [], denied: [CertificateRule] = []
    ) throws(PKIError) {
        guard let store = X509_STORE_new() else { preconditionFailure("OpenSSL is out of memory") }
        self.store = store
        self.authorities = authorities
        self.revocationCheck = revocationCheck
        self.depth = depth
        self.allowed = allowed
        self.denied = denied
        for certificate in authorities {
            let handle = try certificate.handle()
            guard withExtendedLifetime(handle, { X509_STORE_add_cert(store, $0.pointer) }) == 1 else { throw .fromLibrary() }
        }
        for list in revocationLists {
            let handle = try CRLHandle(der: list.der)
            guard withExtendedLifetime(handle, { X509_STORE_add_crl(store, $0.pointer) }) == 1 else { throw .fromLibrary() }
        }
        // Whoever puts an authority into the database trusts it, whether another has signed it or not.
        var flags = UInt(X509_V_FLAG_PARTIAL_CHAIN)
        if revocationCheck != .off { flags |= UInt(X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) }
        X509_STORE_set_flags(store, flags)
        X509_STORE_set_depth(store, Int32(depth))
        X509_STORE_set_purpose(store, X509_PURPOSE_SSL_CLIENT)
        if revocationCheck == .soft { X509_STORE_set_verify_cb(store, Self.forgivingMissingLists) }
    }

    deinit { X509_STORE_free(store) }

    /// `soft`: no list, or no current one, is no objection.
    package static let forgivingMissingLists: @convention(c) (Int32, OpaquePointer?) -> Int32 = { isGood, context in
        guard isGood == 0, let context else { return isGood }
        switch X509_STORE_CTX_get_error(context) {
        case X509_V_ERR_UNABLE_TO_GET_CRL, X509_V_ERR_CRL_HAS_EXPIRED, X509_V_ERR_CRL_NOT_YET_VALID:
            X509_STORE_CTX_set_error(context, X509_V_OK)
            return 1
        default: return 0
        }
    }

    /// All authorities in a file, or in a folder like the trusted authorities database.
    public static func authorities(at path: String) throws(PKIError) -> [Certificate] {
        // A folder may come into being later, with the first authority in it; what is named like a file must be there.
        let isFile = TrustList.endings.contains(where: path.hasSuffix) && !File.isFolder(path)
        guard !isFile, File.isFolder(path) || !File.exists(path) else { return try Certificate.readAll(file: path) }
        return try TrustList(path: path).entries().map(\.certificate)
    }

    /// All lists in a file, or in a folder's `.crl` and `.pem` files.
    public static func revocationLists(at path: String) throws(PKIError) -> [RevocationList] {
        guard File.isFolder(path) else { return try RevocationList.readAll(file: path) }
        var lists: [RevocationList] = []
        for file in try TrustList.files(path, endings: [".crl", ".pem"]) { lists += try RevocationList.readAll(file: file) }
        return lists
    }

    /// Judges a client's certificate as a handshake would.
    /// - Parameters:
    ///   - chain: the client's own certificate first, then what came with it.
    ///   - moment: seconds since 1970; now where nil.
    public func judge(_ chain: [Certificate], at moment: Int64? = nil) -> CertificateRejection? {
        guard let leaf = chain.first.flatMap({ try? X509Handle(der: $0.der) }), let context = X509_STORE_CTX_new(),
            let others = OPENSSL_sk_new_null()
        else { return CertificateRejection.noneSent }
        let handles = chain.dropFirst().compactMap { try? X509Handle(der: $0.der) }
        for handle in handles { OPENSSL_sk_push(others, UnsafeRawPointer(handle.pointer)) }
        defer {
            X509_STORE_CTX_free(context)
            OPENSSL_sk_free(others)
            ERR_clear_error()
        }
        guard X509_STORE_CTX_init(context, store, leaf.pointer, others) == 1 else { return CertificateRejection(code: -1) }
        // The same defaults as a server's handshake.
        X509_STORE_CTX_set_default(context, "ssl_client")
        X509_STORE_CTX_set_depth(context, Int32(depth))
        if let moment { X509_STORE_CTX_set_time(context, 0, time_t(moment)) }
        return withExtendedLifetime(handles) {
            guard X509_verify_cert(context) == 1 else {
                return CertificateRejection(code: Int(X509_STORE_CTX_get_error(context)))
            }
            return refusal(of: chain[0])
        }
    }

    /// What the operator's rules have against a certificate that is good otherwise.
    package func refusal(of certificate: Certificate) -> CertificateRejection? {
        if let rule = denied.first(where: { $0.matches(certificate) }) {
            return CertificateRejection(reason: .notAllowed, description: "the rule \(rule) keeps it out")
        }
        guard !allowed.isEmpty, !allowed.contains(where: { $0.matches(certificate) }) else { return nil }
        return CertificateRejection(reason: .notAllowed, description: "no rule lets it in")
    }
}
