import COpenSSL
import Glibc

/// A private key.
///
/// Unchecked: an `EVP_PKEY` is never changed after it is made, and OpenSSL counts its references atomically; so a key
/// may be used by every thread.
public final class PrivateKey: @unchecked Sendable {
    /// What keys can be made.
    public enum Kind: Hashable, Sendable {
        case p256
        case p384
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
            case .p256, .p384: "EC"
            case .rsa: "RSA"
            case .ed25519: "ED25519"
            }
        guard let context = EVP_PKEY_CTX_new_from_name(nil, name, nil) else { throw .fromLibrary() }
        defer { EVP_PKEY_CTX_free(context) }
        guard EVP_PKEY_keygen_init(context) > 0 else { throw .fromLibrary() }
        let isChosen =
            switch kind {
            case .p256: EVP_PKEY_CTX_set_group_name(context, "prime256v1")
            case .p384: EVP_PKEY_CTX_set_group_name(context, "secp384r1")
            case .rsa(let bits): EVP_PKEY_CTX_set_rsa_keygen_bits(context, Int32(clamping: bits))
            case .ed25519: Int32(1)
            }
        var pointer: OpaquePointer?
        guard isChosen > 0, EVP_PKEY_generate(context, &pointer) > 0, let pointer else { throw .fromLibrary() }
        return PrivateKey(owning: pointer)
    }

    /// The first private key in a file: PEM, or DER, encrypted or not.
    /// - Parameters:
    ///   - passphrase: asked where the key is encrypted.
    ///   - algorithm: the one that it likely is of, which makes reading three times as fast; as OpenSSL names it.
    public convenience init(
        file: String, passphrase: PassphraseSource? = nil, likely algorithm: String? = nil
    ) throws(PKIError) {
        var bytes = try File.read(file)
        defer { wipe(&bytes) }
        try self.init(bytes: bytes, file: file, passphrase, likely: algorithm)
    }

    /// A key that is not encrypted, in PEM, as it is mostly written. OpenSSL tries every algorithm that it knows where it is not
    /// told which one.
    /// - Returns: nil where there is another one, or none.
    private static func readPlain(_ bytes: [UInt8], _ algorithm: String) -> OpaquePointer? {
        guard bytes.starts(with: Array("-----BEGIN PRIVATE KEY-----".utf8)) else { return nil }
        let bio = MemoryBIO(bytes)
        defer { ERR_clear_error() }
        var pointer: OpaquePointer?
        guard let decoder = OSSL_DECODER_CTX_new_for_pkey(&pointer, "PEM", "PrivateKeyInfo", algorithm, 0, nil, nil) else {
            return nil
        }
        defer { OSSL_DECODER_CTX_free(decoder) }
        return withExtendedLifetime(bio) { OSSL_DECODER_from_bio(decoder, bio.pointer) } == 1 ? pointer : nil
    }

    /// - Parameter file: the name that an error tells.
    convenience init(
        bytes: [UInt8], file: String, _ passphrase: PassphraseSource? = nil, likely algorithm: String? = nil
    ) throws(PKIError) {
        if let algorithm, let pointer = Self.readPlain(bytes, algorithm) {
            self.init(owning: pointer)
            return
        }
        let answer = Answer(file, passphrase)
        let bio = MemoryBIO(bytes)
        ERR_clear_error()
        let context = Unmanaged.passUnretained(answer).toOpaque()
        let pointer = withExtendedLifetime(answer) {
            bytes.first == 0x30
                ? Self.readDER(bytes, bio, context) : PEM_read_bio_PrivateKey(bio.pointer, nil, Answer.callback, context)
        }
        ERR_clear_error()
        if let pointer {
            self.init(owning: pointer)
            return
        }
        if let failure = answer.failure { throw failure }
        guard answer.wasAsked else { throw .noKey(file: file) }
        throw answer.given ? .wrongPassphrase(file: file) : .encryptedKey(file: file)
    }

    private static func readDER(_ bytes: [UInt8], _ bio: MemoryBIO, _ context: UnsafeMutableRawPointer) -> OpaquePointer? {
        let plain = bytes.withUnsafeBufferPointer { bytes in
            var start = bytes.baseAddress
            return d2i_AutoPrivateKey(nil, &start, bytes.count)
        }
        return plain ?? d2i_PKCS8PrivateKey_bio(bio.pointer, nil, Answer.callback, context)
    }

    /// PKCS #8 in PEM, mode 0600: readable by its owner alone from the moment it exists.
    /// - Parameter passphrase: encrypts it (AES-256, the key derived from the passphrase with PBKDF2).
    public func write(to path: String, passphrase: [UInt8]? = nil) throws(PKIError) {
        let bio = MemoryBIO()
        var password = passphrase?.map { CChar(bitPattern: $0) } ?? []
        defer { wipe(&password) }
        let written =
            if passphrase != nil {
                PEM_write_bio_PKCS8PrivateKey(
                    bio.pointer, pointer, EVP_aes_256_cbc(), &password, Int32(password.count), nil, nil)
            } else {
                PEM_write_bio_PKCS8PrivateKey(bio.pointer, pointer, nil, nil, 0, nil, nil)
            }
        guard written == 1 else { throw .fromLibrary() }
        var bytes = bio.bytes
        defer { wipe(&bytes) }
        try File.write(bytes, to: path, mode: 0o600)
    }

    /// "EC", "RSA", "ED25519": keys of different algorithms can serve one name side by side.
    public var algorithm: String { keyAlgorithm(of: pointer) }

    public var bits: Int { Int(EVP_PKEY_get_bits(pointer)) }

    /// "RSA 2048", "EC P-256", "ED25519".
    public var text: String { keyText(pointer) }

    /// Whether users of this machine other than the owner and the group can read the file.
    public static func isReadableByEveryone(_ file: String) -> Bool {
        var facts = stat()
        return stat(file, &facts) == 0 && facts.st_mode & 0o004 != 0
    }

    /// Ed25519 hashes for itself.
    var digest: OpaquePointer? { algorithm == "ED25519" || algorithm == "ED448" ? nil : EVP_sha256() }  // EVP_MD *
}

/// One question for a passphrase, between OpenSSL's callback and the one who knows it. OpenSSL may ask several times, the one who
/// knows it is asked once.
final class Answer {
    private let file: String
    private let source: PassphraseSource?
    private(set) var wasAsked = false
    private var bytes: [UInt8]?
    private(set) var failure: PKIError?

    var given: Bool { bytes != nil }

    init(_ file: String, _ source: PassphraseSource?) {
        self.file = file
        self.source = source
    }

    deinit {
        guard var bytes else { return }
        self.bytes = nil
        wipe(&bytes)
    }

    static let callback: @convention(c) (UnsafeMutablePointer<CChar>?, Int32, Int32, UnsafeMutableRawPointer?) -> Int32 = {
        buffer, size, _, context in
        guard let buffer, let context else { return -1 }
        return Unmanaged<Answer>.fromOpaque(context).takeUnretainedValue().fill(buffer, Int(size))
    }

    private func fill(_ buffer: UnsafeMutablePointer<CChar>, _ size: Int) -> Int32 {
        if !wasAsked { ask() }
        guard failure == nil, let bytes else { return -1 }
        guard bytes.count <= size else {
            failure = .library("a passphrase has at most \(size) bytes")
            return -1
        }
        for (index, byte) in bytes.enumerated() { buffer[index] = CChar(bitPattern: byte) }
        return Int32(bytes.count)
    }

    private func ask() {
        wasAsked = true
        do throws(PKIError) {
            bytes = try source?(file)
        } catch {
            failure = error
        }
    }
}
