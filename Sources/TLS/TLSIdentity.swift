public import PKI

/// A certificate chain with its private key, loaded and judged.
public struct TLSIdentity: Sendable {
    /// The gateway's own certificate first, then those that lead to the authority.
    public let chain: [Certificate]
    public let certificateFile: String
    private let keyFile: String?
    let key: PrivateKey
    let staple: Staple?
    /// What the very bytes of its files were, in the order of `files`; none where it lives in memory alone.
    private let digests: [FileDigest]
    private let isEncrypted: Bool

    public var leaf: Certificate { chain[0] }
    /// Whether an OCSP response lies beside it.
    public var isStapled: Bool { staple != nil }

    /// - Parameters:
    ///   - keyFile: nil where the certificate's file is a PKCS #12 bundle, which holds the key.
    ///   - passphrase: asked where the key is encrypted.
    /// - Throws: when a file cannot be read, or key and certificate do not belong together.
    public init(
        certificateFile: String, keyFile: String?, passphrase: PassphraseSource? = nil
    ) throws(TLSConfigurationError) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
        var isEncrypted = false
        let bundle: KeyBundle
        do throws(PKIError) {
            let passphrase: PassphraseSource = { (file) throws(PKIError) in
                isEncrypted = true
                return try passphrase?(file)
            }
            if let keyFile {
                bundle = try KeyBundle(certificateFile: certificateFile, keyFile: keyFile, passphrase: passphrase)
            } else {
                bundle = try KeyBundle(file: certificateFile, passphrase: passphrase)
            }
        } catch .encryptedKey(let file) {
            throw TLSConfigurationError(
                "\(file) is encrypted, and no passphrase was given; name one of --key-passphrase-file, --key-passphrase-env, --key-passphrase-fd and --key-passphrase-command."
            )
        } catch {
            throw TLSConfigurationError(error.description)
        }
        (chain, key, self.isEncrypted) = (bundle.chain, bundle.key, isEncrypted)
        let (staple, digest) = try Staple.read(
            Staple.file(beside: certificateFile), for: certificateFile, chain[0], issuer: chain.count > 1 ? chain[1] : nil)
        self.staple = staple
        digests = bundle.digests + [digest]
    }

    /// An identity that lives in memory alone.
    public init(_ identity: UnsavedIdentity) {
        chain = [identity.certificate]
        key = identity.key
        certificateFile = "the certificate in memory"
        keyFile = nil
        staple = nil
        digests = []
        isEncrypted = false
    }

    /// All that an identity is read from, the staple included, which need not be there.
    public static func files(certificateFile: String, keyFile: String?) -> [String] {
        [certificateFile] + (keyFile.map { [$0] } ?? []) + [Staple.file(beside: certificateFile)]
    }

    /// What each of its files said when it was read.
    public var said: [(file: String, digest: FileDigest)] {
        Array(zip(Self.files(certificateFile: certificateFile, keyFile: keyFile), digests))
    }

    /// Whether reading the files again would give the same, so that the dear part of it, keys and signatures, can be left out.
    ///
    /// An encrypted key is always read again: whether its passphrase can still be had, a reload shall tell, and not the next start.
    /// So is a staple whose time is over, and what a pipe said.
    /// - Parameter now: what files say now; an identity whose files are not all in it counts as changed.
    public func isCurrent(keyFile: String?, _ now: [String: FileDigest]) -> Bool {
        guard keyFile == self.keyFile, !isEncrypted, staple?.isFresh != false, !digests.isEmpty else { return false }
        return said.allSatisfy { $0.digest != .stream && now[$0.file] == $0.digest }
    }
}
