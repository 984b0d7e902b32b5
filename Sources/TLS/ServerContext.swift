import COpenSSL
import Glibc
import PKI

/// One SSL_CTX: the identities of one set of names, under one set of rules for clients' certificates.
///
/// Unchecked: an SSL_CTX is made here, never changed afterwards, and OpenSSL locks what is inside (its reference counts).
final class ServerContext: @unchecked Sendable {
    let pointer: OpaquePointer  // SSL_CTX *
    let verification: ClientVerification

    init(_ policy: TLSPolicy, _ identities: [TLSIdentity], _ verification: ClientVerification) throws(TLSConfigurationError) {
        guard let pointer = SSL_CTX_new(TLS_server_method()) else { throw .fromLibrary("TLS cannot be set up") }
        self.pointer = pointer
        self.verification = verification
        try configure(policy)
        for identity in identities { try use(identity) }
        verification.install(on: pointer)
        ServerName.install(on: pointer)
    }

    deinit { SSL_CTX_free(pointer) }

    private func configure(_ policy: TLSPolicy) throws(TLSConfigurationError) {
        guard shim_SSL_CTX_set_min_proto_version(pointer, policy.minimumVersion.number) == 1,
            shim_SSL_CTX_set_max_proto_version(pointer, policy.maximumVersion.number) == 1
        else { throw .fromLibrary("TLS versions cannot be set") }
        // The least that OpenSSL takes of keys and digests; a list of ciphers may say something else (@SECLEVEL).
        SSL_CTX_set_security_level(pointer, 2)
        let recommended = TLSPolicy.recommendedCiphers + (policy.isLegacy ? ":" + TLSPolicy.legacyCiphers : "")
        guard SSL_CTX_set_cipher_list(pointer, policy.ciphers ?? recommended) == 1 else {
            throw .unknown("--tls-ciphers", policy.ciphers, "openssl ciphers -v")
        }
        guard SSL_CTX_set_ciphersuites(pointer, policy.ciphersuites ?? TLSPolicy.recommendedCiphersuites) == 1 else {
            throw .unknown("--tls-ciphersuites", policy.ciphersuites, "openssl ciphers -s -tls1_3")
        }
        try chooseGroups(policy.groups)
        if let signatures = policy.signatures, shim_SSL_CTX_set1_sigalgs_list(pointer, signatures) != 1 {
            throw .unknown("--tls-signatures", signatures, "man SSL_CTX_set1_sigalgs_list")
        }
        shim_SSL_CTX_set_dh_auto(pointer)
        // The order is ours, or an old client would choose a cipher without forward secrecy under --tls-legacy; but one that
        // puts ChaCha20 first has no AES in its processor.
        SSL_CTX_set_options(
            pointer,
            shim_SSL_OP_NO_RENEGOTIATION | shim_SSL_OP_NO_COMPRESSION | shim_SSL_OP_CIPHER_SERVER_PREFERENCE
                | shim_SSL_OP_PRIORITIZE_CHACHA)
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
        Tickets.install(on: pointer)
        ApplicationProtocol.install(on: pointer)
        Stapling.install(on: pointer)
        KeyAge.watch(pointer)
    }

    /// Whether a cipher of TLS 1.2 or before goes with this key.
    func hasCipher(for key: PrivateKey) -> Bool {
        let kind = key.algorithm.hasPrefix("RSA") ? NID_auth_rsa : NID_auth_ecdsa
        return shim_SSL_CTX_has_cipher_for(pointer, kind) == 1
    }

    private func chooseGroups(_ groups: String?) throws(TLSConfigurationError) {
        if let groups {
            guard shim_SSL_CTX_set1_groups_list(pointer, groups) == 1 else {
                throw .unknown("--tls-groups", groups, "openssl ecparam -list_curves")
            }
        } else {
            // A list with a name that OpenSSL does not know changes nothing.
            let taken = TLSPolicy.defaultGroups.first { shim_SSL_CTX_set1_groups_list(pointer, $0) == 1 }
            guard taken != nil else { throw .fromLibrary("TLS groups cannot be set") }
            ERR_clear_error()
        }
    }

    /// Whether OpenSSL takes the identity, by itself; what is made of it later will then do.
    func check(_ identity: TLSIdentity) throws(TLSConfigurationError) {
        defer { shim_SSL_CTX_clear_chain_certs(pointer) }
        try use(identity)
    }

    private func use(_ identity: TLSIdentity) throws(TLSConfigurationError) {
        do throws(PKIError) {
            ERR_clear_error()
            let leaf = try identity.leaf.handle()
            guard withExtendedLifetime(leaf, { SSL_CTX_use_certificate(pointer, $0.pointer) }) == 1 else {
                throw PKIError.library("\(identity.certificateFile): \(OpenSSLErrors.drain())")
            }
            guard SSL_CTX_use_PrivateKey(pointer, identity.key.pointer) == 1 else {
                throw PKIError.library("\(identity.certificateFile): \(OpenSSLErrors.drain())")
            }
            for certificate in identity.chain.dropFirst() {
                let handle = try certificate.handle()
                guard withExtendedLifetime(handle, { shim_SSL_CTX_add1_chain_cert(pointer, $0.pointer) }) == 1 else {
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
