import COpenSSL

/// A private key.
///
/// Unchecked: an `EVP_PKEY` is never changed after it is made, and OpenSSL counts its references atomically; so a key
/// may be used by every thread.
public final class PrivateKey: @unchecked Sendable {
    /// What keys can be made.
    public enum Kind: Hashable, Sendable {
        case p256
        case rsa(bits: Int)
        case ed25519
    }

    /// For wrappers of OpenSSL in this package; valid as long as the key.
    package let pointer: OpaquePointer  // EVP_PKEY *

    /// Takes over one reference.
    init(owning pointer: OpaquePointer) { self.pointer = pointer }

    deinit { EVP_PKEY_free(pointer) }

    public static func make(_ kind: Kind) throws(PKIError) -> PrivateKey {
        let name =
            switch kind {
            case .p256: "EC"
            case .rsa: "RSA"
            case .ed25519: "ED25519"
            }
        guard let context = EVP_PKEY_CTX_new_from_name(nil, name, nil) else { throw .fromLibrary() }
        defer { EVP_PKEY_CTX_free(context) }
        guard EVP_PKEY_keygen_init(context) > 0 else { throw .fromLibrary() }
        let isChosen =
            switch kind {
            case .p256: EVP_PKEY_CTX_set_group_name(context, "prime256v1")
            case .rsa(let bits): EVP_PKEY_CTX_set_rsa_keygen_bits(context, Int32(clamping: bits))
            case .ed25519: Int32(1)
            }
        var pointer: OpaquePointer?
        guard isChosen > 0, EVP_PKEY_generate(context, &pointer) > 0, let pointer else { throw .fromLibrary() }
        return PrivateKey(owning: pointer)
    }

    /// The first private key in a PEM file.
    public convenience init(file: String) throws(PKIError) {
        try self.init(pem: try File.read(file), file: file)
    }

    /// `file` is the name that an error tells.
    convenience init(pem: [UInt8], file: String) throws(PKIError) {
        let bio = MemoryBIO(pem)
        var wasAskedForPassword = false
        ERR_clear_error()
        let pointer = withUnsafeMutablePointer(to: &wasAskedForPassword) { flag in
            PEM_read_bio_PrivateKey(
                bio.pointer, nil,
                { _, _, _, flag in
                    flag?.assumingMemoryBound(to: Bool.self).pointee = true
                    return -1
                }, flag)
        }
        ERR_clear_error()
        guard let pointer else { throw wasAskedForPassword ? .encryptedKey(file: file) : .noKey(file: file) }
        self.init(owning: pointer)
    }

    /// PKCS #8 in PEM, without a password, mode 0600.
    public func write(to path: String) throws(PKIError) {
        let bio = MemoryBIO()
        guard PEM_write_bio_PKCS8PrivateKey(bio.pointer, pointer, nil, nil, 0, nil, nil) == 1 else { throw .fromLibrary() }
        try File.write(bio.bytes, to: path, mode: 0o600)
    }

    /// "EC", "RSA", "ED25519": keys of different algorithms can serve one name side by side.
    public var algorithm: String {
        guard let name = EVP_PKEY_get0_type_name(pointer) else { return "unknown" }
        return String(cString: name)
    }

    public var bits: Int { Int(EVP_PKEY_get_bits(pointer)) }

    /// Ed25519 hashes for itself.
    var digest: OpaquePointer? { algorithm == "ED25519" ? nil : EVP_sha256() }  // EVP_MD *
}
