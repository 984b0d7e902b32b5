import COpenSSL

/// A PKCS #10 request: what goes to an authority that shall sign the gateway's certificate.
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
        try request.add(profile.extensions(for: key))
        guard X509_REQ_sign(pointer, key.pointer, key.digest) > 0 else { throw .fromLibrary() }
        return request
    }

    public convenience init(file: String) throws(PKIError) {
        let bio = MemoryBIO(try File.read(file))
        ERR_clear_error()
        let pointer = PEM_read_bio_X509_REQ(bio.pointer, nil, nil, nil)
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

    public var pem: String {
        let bio = MemoryBIO()
        precondition(PEM_write_bio_X509_REQ(bio.pointer, pointer) == 1, "a request can be written to memory")
        return bio.text
    }

    public func write(to path: String) throws(PKIError) {
        try File.write(Array(pem.utf8), to: path, mode: 0o644)
    }

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
