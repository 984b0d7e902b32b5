import COpenSSL
import Glibc
public import PKI
import Wire

/// What all TLS connections of the gateway share: identities, versions, ticket keys. Immutable once made.
///
/// Unchecked: an SSL_CTX is made here, never changed afterwards, and OpenSSL locks what is inside (its reference counts); so
/// every worker may use it.
public final class TLSContext: @unchecked Sendable {
    /// One SSL_CTX for identities that share their names and differ in their kind of key.
    fileprivate final class Group {
        let pointer: OpaquePointer  // SSL_CTX *
        var identities: [TLSIdentity] = []

        init(_ policy: TLSPolicy) throws(TLSConfigurationError) {
            guard let pointer = SSL_CTX_new(TLS_server_method()) else { throw .fromLibrary("TLS cannot be set up") }
            self.pointer = pointer
            try configure(policy)
        }

        deinit { SSL_CTX_free(pointer) }
    }

    private var groups: [Group] = []
    public let store: SessionStore
    let policy: TLSPolicy
    private let staples: [Staple]

    /// Every name in the certificates, wildcards included.
    public var dnsNames: [String] { groups.flatMap { $0.identities[0].leaf.dnsNames } }

    /// New connections begin with the first identity's; the name that the client asks for may lead to another.
    var pointer: OpaquePointer { groups[0].pointer }

    /// - Parameters:
    ///   - identities: at least one; the first is for clients that ask for no name, or for an unknown one.
    ///   - store: the one of the context that this one replaces, so that its sessions can be resumed.
    public init(policy: TLSPolicy, identities: [TLSIdentity], store: SessionStore = SessionStore()) throws(TLSConfigurationError)
    {
        precondition(!identities.isEmpty, "a TLS server needs an identity")
        self.store = store
        self.policy = policy
        staples = identities.compactMap(\.staple)
        let authorities = try policy.clientCertificate.authorities.map { (path) throws(TLSConfigurationError) in
            try ClientAuthorities(path: path)
        }
        for identity in identities {
            let group = try group(for: identity, policy, authorities)
            group.identities.append(identity)
            try group.use(identity)
        }
        ServerName.install(on: pointer)
    }

    private func group(
        for identity: TLSIdentity, _ policy: TLSPolicy, _ authorities: ClientAuthorities?
    ) throws(TLSConfigurationError) -> Group {
        let names = Set(identity.leaf.dnsNames)
        let existing = groups.first { group in
            Set(group.identities[0].leaf.dnsNames) == names
                && !group.identities.contains { $0.key.algorithm == identity.key.algorithm }
        }
        if let existing { return existing }
        let group = try Group(policy)
        authorities?.install(on: group.pointer, policy.clientCertificate)
        groups.append(group)
        return group
    }

    /// What to staple to the certificate that a connection shows: the file beside it wins over what its responder said.
    func staple(for shown: OpaquePointer) -> Staple? {
        X509_up_ref(shown)
        guard let der = try? X509Handle(owning: shown).der() else { return nil }
        return staples.first { $0.isFor(der) } ?? store.staples.staple(for: der)
    }

    /// Certificates without a file to staple, each with its issuer's.
    public var unstapled: [(certificate: Certificate, issuer: Certificate)] {
        groups.flatMap(\.identities).compactMap { identity in
            identity.staple == nil && identity.chain.count > 1 ? (identity.chain[0], identity.chain[1]) : nil
        }
    }

    /// The SSL_CTX for a name, nil where none has it: a whole name wins over a wildcard.
    func pointer(for name: String) -> OpaquePointer? {
        let name = name.lowercased()
        let group =
            groups.first { $0.identities[0].matches(name, wildcards: false) }
            ?? groups.first { $0.identities[0].matches(name, wildcards: true) }
        return group?.pointer
    }
}

extension TLSContext.Group {
    fileprivate func configure(_ policy: TLSPolicy) throws(TLSConfigurationError) {
        guard shim_SSL_CTX_set_min_proto_version(pointer, policy.minimumVersion.number) == 1,
            shim_SSL_CTX_set_max_proto_version(pointer, policy.maximumVersion.number) == 1
        else { throw .fromLibrary("TLS versions cannot be set") }
        let recommended = TLSPolicy.recommendedCiphers + (policy.isLegacy ? ":" + TLSPolicy.legacyCiphers : "")
        guard SSL_CTX_set_cipher_list(pointer, policy.ciphers ?? recommended) == 1 else {
            throw .unknown("--tls-ciphers", policy.ciphers, "openssl ciphers -v")
        }
        guard SSL_CTX_set_ciphersuites(pointer, policy.ciphersuites ?? TLSPolicy.recommendedCiphersuites) == 1 else {
            throw .unknown("--tls-ciphersuites", policy.ciphersuites, "openssl ciphers -s -tls1_3")
        }
        try chooseGroups(policy.groups)
        shim_SSL_CTX_set_dh_auto(pointer)
        SSL_CTX_set_options(pointer, shim_SSL_OP_NO_RENEGOTIATION | shim_SSL_OP_NO_COMPRESSION)
        // A FIN without close_notify must be seen for what it is: OpenSSL's configuration file could hide it.
        SSL_CTX_clear_options(pointer, shim_SSL_OP_IGNORE_UNEXPECTED_EOF)
        shim_SSL_CTX_set_mode(
            pointer,
            Int(
                SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS
                    | SSL_MODE_NO_AUTO_CHAIN))
        SSL_CTX_set_timeout(pointer, Int(policy.sessionLifetime / .seconds(1)))
        // Commands must not be replayed: no 0-RTT.
        SSL_CTX_set_max_early_data(pointer, 0)
        let name = Array("ftpsgate".utf8)
        SSL_CTX_set_session_id_context(pointer, name, UInt32(name.count))
        Tickets.install(on: pointer)
        ApplicationProtocol.install(on: pointer)
        Stapling.install(on: pointer)
        KeyAge.watch(pointer)
    }

    private func chooseGroups(_ groups: String?) throws(TLSConfigurationError) {
        if let groups {
            guard shim_SSL_CTX_set1_groups_list(pointer, groups) == 1 else {
                throw .unknown("--tls-groups", groups, "openssl ecparam -list_curves")
            }
        } else if shim_SSL_CTX_set1_groups_list(pointer, TLSPolicy.postQuantumGroups) != 1 {
            ERR_clear_error()
            guard shim_SSL_CTX_set1_groups_list(pointer, TLSPolicy.recommendedGroups) == 1 else {
                throw .fromLibrary("TLS groups cannot be set")
            }
        }
    }

    fileprivate func use(_ identity: TLSIdentity) throws(TLSConfigurationError) {
        do throws(PKIError) {
            ERR_clear_error()
            let leaf = try X509Handle(der: identity.leaf.der)
            guard SSL_CTX_use_certificate(pointer, leaf.pointer) == 1 else {
                throw PKIError.library("\(identity.certificateFile): \(OpenSSLErrors.drain())")
            }
            guard SSL_CTX_use_PrivateKey(pointer, identity.key.pointer) == 1 else {
                throw PKIError.library("\(identity.certificateFile): \(OpenSSLErrors.drain())")
            }
            for certificate in identity.chain.dropFirst() {
                let handle = try X509Handle(der: certificate.der)
                guard shim_SSL_CTX_add1_chain_cert(pointer, handle.pointer) == 1 else {
                    throw PKIError.library("\(identity.certificateFile): \(OpenSSLErrors.drain())")
                }
            }
        } catch {
            throw TLSConfigurationError(error.description)
        }
    }
}

extension TLSVersion {
    var number: Int32 {
        switch self {
        case .tls10: TLS1_VERSION
        case .tls11: TLS1_1_VERSION
        case .tls12: TLS1_2_VERSION
        case .tls13: TLS1_3_VERSION
        }
    }
}

extension TLSConfigurationError {
    static func unknown(_ flag: String, _ value: String?, _ command: String) -> TLSConfigurationError {
        ERR_clear_error()
        return TLSConfigurationError("\(flag): OpenSSL knows nothing in \"\(value ?? "")\"; see what there is with: \(command).")
    }

    static func fromLibrary(_ problem: String) -> TLSConfigurationError {
        TLSConfigurationError("\(problem): \(OpenSSLErrors.drain()).")
    }
}
