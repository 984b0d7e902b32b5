/// Where the passphrase of an encrypted key comes from, asked only when one is met.
///
/// Told the file's name; nil where the source has none to give.
public typealias PassphraseSource = (_ file: String) throws(PKIError) -> [UInt8]?
