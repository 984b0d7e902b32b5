public import PKI

/// A certificate chain with its private key, loaded and judged.
public struct TLSIdentity: Sendable {
    /// The gateway's own certificate first, then those that lead to the authority.
    public let chain: [Certificate]
    public let certificateFile: String
    let key: PrivateKey
    let staple: Staple?

    public var leaf: Certificate { chain[0] }

    /// - Throws: when a file cannot be read, or key and certificate do not belong together.
    /// - Parameter passphrase: asked where the key is encrypted.
    public init(
        certificateFile: String, keyFile: String, passphrase: PassphraseSource? = nil
    ) throws(TLSConfigurationError) {
        self.certificateFile = certificateFile
        do throws(PKIError) {
            let chain = try Certificate.readAll(file: certificateFile)
            let key = try PrivateKey(file: keyFile, passphrase: passphrase)
            guard chain[0].matches(key) else {
                throw chain.contains { $0.matches(key) }
                    ? PKIError.notTheFirst(certificateFile: certificateFile, keyFile: keyFile)
                    : PKIError.mismatch(certificateFile: certificateFile, keyFile: keyFile)
            }
            self.chain = chain
            self.key = key
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
