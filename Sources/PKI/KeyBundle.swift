import COpenSSL

/// A private key with its certificate chain. In one file it is a PKCS #12 bundle (`.p12` or `.pfx`), as FileZilla, WinSCP and
/// Windows take it.
public struct KeyBundle {
    public let key: PrivateKey
    /// The key's own certificate first.
    public let chain: [Certificate]
    /// What the very bytes were that it was read from: the certificate's file, and the key's where it is another.
    package let digests: [FileDigest]

    public init(key: PrivateKey, chain: [Certificate]) { self.init(key, chain, []) }

    private init(_ key: PrivateKey, _ chain: [Certificate], _ digests: [FileDigest]) {
        (self.key, self.chain, self.digests) = (key, chain, digests)
    }

    /// From two files: the certificate's with its chain, and the key's.
    /// - Throws: also where they do not belong together.
    public init(certificateFile: String, keyFile: String, passphrase: PassphraseSource?) throws(PKIError) {
        // May hold the key as well.
        var certificates = try File.read(certificateFile)
        defer { wipe(&certificates) }
        chain = try Certificate.readAll(certificates, file: certificateFile)
        var keys = try File.read(keyFile)
        defer { wipe(&keys) }
        key = try PrivateKey(bytes: keys, file: keyFile, passphrase, likely: chain[0].keyAlgorithm)
        digests = [FileDigest(of: certificates, from: certificateFile), FileDigest(of: keys, from: keyFile)]
        if chain[0].matches(key) { return }
        throw chain.contains { $0.matches(key) }
            ? .notTheFirst(certificateFile: certificateFile, keyFile: keyFile)
            : .mismatch(certificateFile: certificateFile, keyFile: keyFile)
    }

    /// Writes it, mode 0600.
    /// - Parameters:
    ///   - passphrase: protects it; may be empty, which protects nothing.
    ///   - legacy: with the cipher that Windows before 2019 and other old programs read (3DES and SHA-1).
    public func write(to path: String, name: String, passphrase: [UInt8], legacy: Bool = false) throws(PKIError) {
        guard let leaf = chain.first, leaf.matches(key) else { throw .library("the key does not belong to the certificate") }
        guard let others = OPENSSL_sk_new_null() else { throw .fromLibrary() }
        let handles = chain.compactMap { try? X509Handle(der: $0.der) }
        for handle in handles.dropFirst() { OPENSSL_sk_push(others, UnsafeRawPointer(handle.pointer)) }
        defer { OPENSSL_sk_free(others) }
        let cipher = legacy ? NID_pbe_WithSHA1And3_Key_TripleDES_CBC : 0
        var password = passphrase.map { CChar(bitPattern: $0) } + [0]
        defer { wipe(&password) }
        guard
            let bundle = PKCS12_create(
                password, name, key.pointer, handles[0].pointer, others, cipher, cipher, 100_000, legacy ? -1 : 0, 0)
        else { throw .fromLibrary() }
        defer { PKCS12_free(bundle) }
        if legacy {
            guard PKCS12_set_mac(bundle, password, -1, nil, 0, 2048, EVP_sha1()) == 1 else { throw .fromLibrary() }
        }
        let bio = MemoryBIO()
        guard i2d_PKCS12_bio(bio.pointer, bundle) == 1 else { throw .fromLibrary() }
        try withExtendedLifetime(handles) { () throws(PKIError) in try File.write(bio.bytes, to: path, mode: 0o600) }
    }

    /// Whether a file's name says that it is such a bundle: `.p12` or `.pfx`.
    public static func isNamed(_ file: String) -> Bool {
        let name = file.lowercased()
        return name.hasSuffix(".p12") || name.hasSuffix(".pfx")
    }

    /// Whether a file looks like such a bundle.
    public static func isOne(_ file: String) -> Bool {
        guard let bytes = try? File.read(file), bytes.first == 0x30 else { return false }
        defer { ERR_clear_error() }
        guard let bundle = read(bytes) else { return false }
        PKCS12_free(bundle)
        return true
    }

    /// - Returns: a PKCS12 * of the caller's.
    private static func read(_ bytes: [UInt8]) -> OpaquePointer? {
        let bio = MemoryBIO(bytes)
        return withExtendedLifetime(bio) { d2i_PKCS12_bio(bio.pointer, nil) }
    }

    /// Reads a PKCS #12 bundle.
    /// - Parameter passphrase: asked where the bundle has one that is not empty.
    public init(file: String, passphrase: PassphraseSource?) throws(PKIError) {
        var bytes = try File.read(file)
        defer { wipe(&bytes) }
        ERR_clear_error()
        defer { ERR_clear_error() }
        guard let bundle = Self.read(bytes) else { throw .noBundle(file: file) }
        defer { PKCS12_free(bundle) }
        var password: [CChar] = [0]
        defer { wipe(&password) }
        var (keyPointer, certificate, others): (OpaquePointer?, OpaquePointer?, OpaquePointer?)
        func isParsed() -> Bool { PKCS12_parse(bundle, password, &keyPointer, &certificate, &others) == 1 }
        // A bundle without a MAC says nothing of its passphrase: opening it does.
        let hasMAC = PKCS12_mac_present(bundle) == 1
        let isOpen = hasMAC ? PKCS12_verify_mac(bundle, password, 0) == 1 || PKCS12_verify_mac(bundle, nil, 0) == 1 : isParsed()
        if !isOpen {
            guard var given = try passphrase?(file) else { throw .encryptedKey(file: file) }
            password = given.map { CChar(bitPattern: $0) } + [0]
            wipe(&given)
            guard !hasMAC || PKCS12_verify_mac(bundle, password, -1) == 1 else { throw .wrongPassphrase(file: file) }
        }
        ERR_clear_error()
        guard !hasMAC && isOpen || isParsed() else {
            let errors = OpenSSLErrors.drain()
            if errors.codes.contains(where: { ERR_GET_REASON($0) == shim_ERR_R_UNSUPPORTED }) { throw .oldBundle(file: file) }
            throw hasMAC ? .library("\(errors)") : .wrongPassphrase(file: file)
        }
        let key = keyPointer.map { PrivateKey(owning: $0) }
        var chain = try certificate.map { (pointer) throws(PKIError) in [try Certificate(X509Handle(owning: pointer))] } ?? []
        if let others {
            for _ in 0..<max(0, OPENSSL_sk_num(others)) {
                guard let next = OPENSSL_sk_shift(others) else { break }
                chain.append(try Certificate(X509Handle(owning: OpaquePointer(next))))
            }
            OPENSSL_sk_free(others)
        }
        guard let key, let leaf = chain.first else { throw .noBundle(file: file) }
        guard leaf.matches(key) else { throw .mismatch(certificateFile: file, keyFile: file) }
        self.init(key, Self.sorted(leaf, chain.dropFirst()), [FileDigest(of: bytes, from: file)])
    }

    /// Each certificate's authority behind it, whatever order the bundle has them in; what does not belong to the chain comes last.
    private static func sorted(_ leaf: Certificate, _ others: some Sequence<Certificate>) -> [Certificate] {
        var (chain, rest) = ([leaf], Array(others))
        while let last = chain.last, let next = rest.firstIndex(where: { last != $0 && last.isSigned(by: $0) }) {
            chain.append(rest.remove(at: next))
        }
        return chain + rest
    }
}
