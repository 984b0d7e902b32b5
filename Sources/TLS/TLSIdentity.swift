public import PKI

/// A certificate chain with its private key, loaded and judged.
public struct TLSIdentity: Sendable {
    /// The gateway's own certificate first, then those that lead to the authority.
    public let chain: [Certificate]
    public let certificateFile: String
    let key: PrivateKey
    let staple: Staple?

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
        do throws(PKIError) {
            let bundle =
                if let keyFile {
                    try KeyBundle(certificateFile: certificateFile, keyFile: keyFile, passphrase: passphrase)
                } else {
                    try KeyBundle(file: certificateFile, passphrase: passphrase)
                }
            (chain, key) = (bundle.chain, bundle.key)
        } catch .encryptedKey(let file) {
            throw TLSConfigurationError(
                "\(file) is encrypted, and no passphrase was given; name one of --key-passphrase-file, --key-passphrase-env, --key-passphrase-fd and --key-passphrase-command."
            )
        } catch {
            throw TLSConfigurationError(error.description)
        }
        staple = try Staple(beside: certificateFile, for: chain[0], issuer: chain.count > 1 ? chain[1] : nil)
    }

    /// An identity that lives in memory alone.
    public init(_ identity: UnsavedIdentity) {
        chain = [identity.certificate]
        key = identity.key
        certificateFile = "the certificate in memory"
        staple = nil
    }
}
