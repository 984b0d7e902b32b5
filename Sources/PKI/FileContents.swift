import COpenSSL

/// What is in a file of keys and certificates, whatever its name says.
public enum FileContents {
    public enum Item {
        case certificate(Certificate)
        case request(CertificateRequest)
        /// Nil where it is encrypted and nobody knows the passphrase.
        case key(PrivateKey?)
        case revocationList(RevocationList)
        /// A PKCS #12 bundle: what is in it is known once its passphrase is.
        case bundle
        /// Something else in PEM, by its label.
        case other(String)
    }

    /// Everything in a file, in its order; at least one item.
    /// - Parameter passphrase: asked for encrypted keys.
    public static func read(_ file: String, passphrase: PassphraseSource? = nil) throws(PKIError) -> [Item] {
        let bytes = try File.read(file)
        if bytes.first == 0x30 { return [try readDER(file, bytes, passphrase)] }
        var items: [Item] = []
        let (blocks, unfinished) = blocks(bytes)
        for (label, pem) in blocks {
            switch label {
            case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
                items += try Certificate.readAll(pem: pem, file: file).map { .certificate($0) }
            case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
                items.append(.request(try CertificateRequest(bytes: pem, file: file)))
            case "X509 CRL": items += try RevocationList.readAll(bytes: pem, file: file).map { .revocationList($0) }
            case _ where label.hasSuffix("PRIVATE KEY"):
                do throws(PKIError) {
                    items.append(.key(try PrivateKey(bytes: pem, file: file, passphrase)))
                } catch .encryptedKey {
                    items.append(.key(nil))
                }
            default: items.append(.other(label))
            }
        }
        if let unfinished { throw .cutShort(file: file, label: unfinished) }
        guard !items.isEmpty else { throw .nothingKnown(file: file) }
        return items
    }

    private static func readDER(_ file: String, _ bytes: [UInt8], _ passphrase: PassphraseSource?) throws(PKIError) -> Item {
        if (try? Certificate(der: bytes)) != nil { return .certificate(try Certificate.readAll(file: file)[0]) }
        if KeyBundle.isOne(file) { return .bundle }
        if let request = try? CertificateRequest(bytes: bytes, file: file) { return .request(request) }
        if let list = (try? RevocationList.readAll(bytes: bytes, file: file))?.first { return .revocationList(list) }
        do throws(PKIError) {
            return .key(try PrivateKey(bytes: bytes, file: file, passphrase))
        } catch .encryptedKey {
            return .key(nil)
        } catch {
            throw .nothingKnown(file: file)
        }
    }

    /// The PEM blocks of a file with their labels, and the label of one that does not end.
    private static func blocks(_ bytes: [UInt8]) -> (blocks: [(label: String, pem: [UInt8])], unfinished: String?) {
        let (begin, end, dashes) = ("-----BEGIN ", "-----END ", "-----")
        var found: [(String, [UInt8])] = []
        var open: (label: String, lines: [UInt8])?
        // Empty lines count: one ends the headers of an encrypted key.
        for line in bytes.split(separator: 10, omittingEmptySubsequences: false) {
            let line = line.last == 13 ? line.dropLast() : line
            let text = String(decoding: line, as: UTF8.self)
            if text.hasPrefix(begin), text.hasSuffix(dashes) {
                open = (String(text.dropFirst(begin.count).dropLast(dashes.count)), [])
            }
            open?.lines += line + [10]
            if let block = open, text == "\(end)\(block.label)\(dashes)" {
                found.append((block.label, block.lines))
                open = nil
            }
        }
        return (found, open?.label)
    }
}
