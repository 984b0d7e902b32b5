import COpenSSL
import PKI
import Synchronization

/// Whether clients show certificates, and whose are taken: one of these for everyone, and others for listeners and names that
/// have rules of their own. It judges handshakes, and again every session that is resumed: a ticket must not outlive the trust
/// that it was given for.
final class ClientVerification: Sendable {
    let policy: TLSPolicy.ClientCertificates
    /// Nil where nobody is asked for a certificate.
    let trust: ClientTrust?
    /// Sessions are resumed only under the rules that they were made under: this is their hash. The server's certificate has no
    /// part in it, so a renewal ends no session; nor have the lists of revoked certificates, which count anew each time.
    let sessionContext: [UInt8]

    init(_ policy: TLSPolicy.ClientCertificates) throws(TLSConfigurationError) {
        self.policy = policy
        guard policy.demand != .off else {
            trust = nil
            sessionContext = sha256(Array("no client certificates".utf8))
            return
        }
        trust = try Self.load(policy)
        let authorities = trust?.authorities.map(\.sha256Fingerprint).sorted().joined(separator: " ") ?? ""
        let rules = "allowed \(policy.allowed) denied \(policy.denied) ocsp \(policy.statusCheck.rawValue)"
        sessionContext = sha256(
            Array("\(policy.demand.rawValue) \(policy.depth) \(policy.revocationCheck.rawValue) \(authorities) \(rules)".utf8))
    }

    private static func load(_ policy: TLSPolicy.ClientCertificates) throws(TLSConfigurationError) -> ClientTrust {
        var authorities: [Certificate] = []
        do throws(PKIError) {
            if let path = policy.authorities { authorities = try ClientTrust.authorities(at: path) }
        } catch {
            throw TLSConfigurationError("--client-ca: \(error)")
        }
        // Who is not trusted yet is trusted later: the database may be empty at first. A file is never.
        if authorities.isEmpty, policy.demand == .require || !File.isFolder(policy.authorities ?? "") {
            throw TLSConfigurationError(
                "--client-ca: \(policy.authorities ?? "the database") holds no certificate of an authority, so no client could be trusted; add one with: ftpsgate cert trust add FILE."
            )
        }
        do throws(PKIError) {
            let lists =
                try policy.revocationLists.map { (path) throws(PKIError) in try ClientTrust.revocationLists(at: path) } ?? []
            return try ClientTrust(
                authorities: authorities, revocationLists: lists, revocationCheck: policy.revocationCheck, depth: policy.depth,
                allowed: policy.allowed, denied: policy.denied)
        } catch {
            throw TLSConfigurationError("--client-crl: \(error)")
        }
    }

    /// SSL_VERIFY_…
    var mode: Int32 {
        switch policy.demand {
        case .off: SSL_VERIFY_NONE
        case .request: SSL_VERIFY_PEER
        case .require: SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
        }
    }

    func install(on context: OpaquePointer) {
        SSL_CTX_set_session_id_context(context, sessionContext, UInt32(sessionContext.count))
        guard let trust else { return }
        shim_SSL_CTX_set1_verify_cert_store(context, trust.store)
        SSL_CTX_set_verify(context, mode, nil)
        if policy.namesAuthorities {
            for authority in trust.authorities {
                guard let handle = try? authority.handle() else { continue }
                // The names go to the client, which chooses its certificate by them.
                withExtendedLifetime(handle) { _ = SSL_CTX_add_client_CA(context, $0.pointer) }
            }
        }
        SSL_CTX_set_cert_verify_callback(
            context,
            { verification, _ in
                guard let verification,
                    let ssl = X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx()),
                    let connection = TLSConnection.of(OpaquePointer(ssl)), let leaf = X509_STORE_CTX_get0_cert(verification),
                    X509_up_ref(leaf) == 1
                else { return 0 }
                let certificate = try? Certificate(X509Handle(owning: leaf))
                if X509_verify_cert(verification) == 1 {
                    // What cannot be read cannot be judged.
                    guard let certificate else { return 0 }
                    connection.refusedByRules = connection.refusal(of: certificate)
                    guard connection.refusedByRules != nil else { return 1 }
                    let isRevoked = connection.refusedByRules == .revoked
                    X509_STORE_CTX_set_error(
                        verification, isRevoked ? X509_V_ERR_CERT_REVOKED : X509_V_ERR_APPLICATION_VERIFICATION)
                }
                connection.rejectedCertificate = certificate
                return 0
            }, nil)
    }

    /// Whether a session may be resumed: its client's certificate is judged anew. Where it is not, a full handshake follows,
    /// in which the client shows all that it has.
    func accepts(
        resumed session: OpaquePointer, knowing intermediates: Intermediates, _ isWanted: (Certificate) -> Bool
    ) -> Bool {
        guard let trust else { return true }
        guard let leaf = SSL_SESSION_get0_peer(session) else { return policy.demand == .request }
        X509_up_ref(leaf)
        guard let certificate = try? Certificate(X509Handle(owning: leaf)) else { return false }
        return trust.judge([certificate] + intermediates.all) == nil && isWanted(certificate)
    }
}

/// Authorities between clients' certificates and the trusted ones, as accepted clients have shown them: tickets carry none, and
/// a certificate that is judged anew needs them.
final class Intermediates: Sendable {
    private let certificates = Mutex<[Certificate]>([])
    private static let limit = 64

    var all: [Certificate] { certificates.withLock { $0 } }

    /// Takes what stands between the first and the last certificate of a verified chain.
    func learn(from ssl: OpaquePointer) {
        guard let chain = SSL_get0_verified_chain(ssl) else { return }
        for index in stride(from: Int32(1), to: OPENSSL_sk_num(chain) - 1, by: 1) {
            guard let x509 = OPENSSL_sk_value(chain, index).map({ OpaquePointer($0) }), X509_up_ref(x509) == 1,
                let certificate = try? Certificate(X509Handle(owning: x509))
            else { continue }
            certificates.withLock { known in
                if known.contains(certificate) { return }
                if known.count == Self.limit { known.removeFirst() }
                known.append(certificate)
            }
        }
    }
}
