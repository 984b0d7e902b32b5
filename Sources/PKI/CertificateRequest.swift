import COpenSSL

/// A certificate signing request (PKCS #10): what goes to an authority that shall sign a certificate.
public final class CertificateRequest {
    private let pointer: OpaquePointer  // X509_REQ *

    private init(owning pointer: OpaquePointer) { self.pointer = pointer }

    deinit { X509_REQ_free(pointer) }

    public static func make(key: PrivateKey, profile: CertificateProfile) throws(PKIError) -> CertificateRequest {
        guard let pointer = X509_REQ_new() else { throw .fromLibrary() }
        let request = CertificateRequest(owning: pointer)
        guard X509_REQ_set_version(pointer, 0) == 1 else { throw .fromLibrary() }  // 0 means version 1
        try profile.fill(X509_REQ_get_subject_name(pointer))
        guard X509_REQ_set_pubkey(pointer, key.pointer) == 1 else { throw .fromLibrary() }
        try request.add(profile.extensions(forKeyOf: key.algorithm))
        guard X509_REQ_sign(pointer, key.pointer, key.digest) > 0 else { throw .fromLibrary() }
        return request
    }

    /// PEM or DER.
    public convenience init(file: String) throws(PKIError) {
        try self.init(bytes: try File.read(file), file: file)
    }

    /// - Parameter file: the name that an error tells.
    convenience init(bytes: [UInt8], file: String) throws(PKIError) {
        let bio = MemoryBIO(bytes)
        ERR_clear_error()
        let pointer =
            bytes.first == 0x30 ? d2i_X509_REQ_bio(bio.pointer, nil) : PEM_read_bio_X509_REQ(bio.pointer, nil, nil, nil)
        ERR_clear_error()
        guard let pointer else { throw .noRequest(file: file) }
        self.init(owning: pointer)
    }

    /// Whether it was signed by the key that it names: its holder has that key.
    public var isSignedByItsKey: Bool {
        defer { ERR_clear_error() }
        return X509_REQ_verify(pointer, X509_REQ_get0_pubkey(pointer)) == 1
    }

    public func matches(_ key: PrivateKey) -> Bool {
        defer { ERR_clear_error() }
        return X509_REQ_check_private_key(pointer, key.pointer) == 1
    }

    /// RFC 2253.
    public var subject: String { text(of: X509_REQ_get_subject_name(pointer)) }
    public var commonName: String? { PKI.commonName(in: X509_REQ_get_subject_name(pointer)) }
    /// "RSA 2048", "EC P-256", "ED25519".
    public var key: String { X509_REQ_get0_pubkey(pointer).map(keyText) ?? "unknown" }

    /// What it asks to be put into the certificate.
    public struct Wishes: Sendable, Equatable {
        public var dnsNames: [String] = []
        public var ipAddresses: [String] = []
        public var emails: [String] = []
        public var uris: [String] = []
        /// Empty where it asks for none.
        public var purposes: Set<Certificate.Purpose> = []
        /// Whether it wants to sign others.
        public var wantsAuthority = false
    }

    public var wishes: Wishes {
        var wishes = Wishes()
        guard let stack = X509_REQ_get_extensions(pointer) else { return wishes }
        defer {
            while let item = OPENSSL_sk_pop(stack) { X509_EXTENSION_free(OpaquePointer(item)) }
            OPENSSL_sk_free(stack)
            ERR_clear_error()
        }
        let names = AlternativeNames(X509V3_get_d2i(stack, NID_subject_alt_name, nil, nil).map { OpaquePointer($0) })
        (wishes.dnsNames, wishes.ipAddresses, wishes.emails, wishes.uris) = (names.dns, names.ip, names.emails, names.uris)
        if let usage = X509V3_get_d2i(stack, NID_ext_key_usage, nil, nil).map({ OpaquePointer($0) }) {
            for index in 0..<max(0, OPENSSL_sk_num(usage)) {
                switch OBJ_obj2nid(OPENSSL_sk_value(usage, index).map { OpaquePointer($0) }) {
                case NID_server_auth: wishes.purposes.insert(.server)
                case NID_client_auth: wishes.purposes.insert(.client)
                case NID_anyExtendedKeyUsage: wishes.purposes = Set(Certificate.Purpose.allCases)
                default: break
                }
            }
            EXTENDED_KEY_USAGE_free(usage)
        }
        if let constraints = X509V3_get_d2i(stack, NID_basic_constraints, nil, nil) {
            let constraints = constraints.assumingMemoryBound(to: BASIC_CONSTRAINTS.self)
            wishes.wantsAuthority = constraints.pointee.ca != 0
            BASIC_CONSTRAINTS_free(constraints)
        }
        return wishes
    }

    public var pem: String {
        let bio = MemoryBIO()
        precondition(PEM_write_bio_X509_REQ(bio.pointer, pointer) == 1, "a request can be written to memory")
        return bio.text
    }

    public func write(to path: String) throws(PKIError) {
        try File.write(Array(pem.utf8), to: path, mode: 0o644)
    }

    /// Puts the holder's name and key into a certificate.
    func fill(_ x509: OpaquePointer) throws(PKIError) {
        guard X509_set_subject_name(x509, X509_REQ_get_subject_name(pointer)) == 1,
            X509_set_pubkey(x509, X509_REQ_get0_pubkey(pointer)) == 1
        else { throw .fromLibrary() }
    }

    /// "RSA", "EC", "ED25519".
    var keyAlgorithm: String { PKI.keyAlgorithm(of: X509_REQ_get0_pubkey(pointer)) }

    private func add(_ extensions: [(Int32, String)]) throws(PKIError) {
        guard let stack = OPENSSL_sk_new_null() else { throw .fromLibrary() }
        defer {
            while let item = OPENSSL_sk_pop(stack) { X509_EXTENSION_free(OpaquePointer(item)) }
            OPENSSL_sk_free(stack)
        }
        var context = X509V3_CTX()
        X509V3_set_ctx(&context, nil, nil, pointer, nil, 0)
        for (nid, value) in extensions {
            guard let item = X509V3_EXT_conf_nid(nil, &context, nid, value) else { throw .fromLibrary() }
            OPENSSL_sk_push(stack, UnsafeRawPointer(item))
        }
        guard X509_REQ_add_extensions(pointer, stack) == 1 else { throw .fromLibrary() }
    }
}
