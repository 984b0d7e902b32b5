import ArgumentParser
import PKI
import System

/// `ftpsgate cert export`: one file for programs with windows.
struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Put a key and its certificate into one PKCS #12 file for FileZilla, WinSCP or Windows.",
        discussion: "Writes NAME.p12, protected with a passphrase: from the flags, or asked for.")

    @Argument(help: "NAME.crt and NAME.key are put in.")
    var name: String
    @Option(help: ArgumentHelp("The certificate with its chain, where it is not NAME.crt.", valueName: "file"))
    var cert: String?
    @Option(help: ArgumentHelp("The private key, where it is not NAME.key.", valueName: "file"))
    var key: String?
    @Option(help: ArgumentHelp("The bundle's file, where it is not NAME.p12.", valueName: "file"))
    var out: String?
    @Flag(help: "With the old cipher that Windows before 2019 reads.")
    var legacy = false
    @Flag(help: "Overwrite a bundle that is there.")
    var force = false
    @Option(
        help: ArgumentHelp(
            "The first line of this file opens the private key, where that is encrypted with another.", valueName: "file"))
    var keyPassphraseFile: String?
    @OptionGroup var passphrases: PassphraseOptions

    func run() throws {
        try CertCommand.telling { () throws(PKIError) in
            let files = NamedFiles(name)
            let (certificateFile, keyFile) = (cert ?? files.certificate, key ?? files.key)
            let path = out ?? "\(files.base).p12"
            if Backup.exists(path), !force { throw .fileExists(file: path) }
            if PrivateKey.isReadableByEveryone(keyFile) { throw .readableKey(file: keyFile) }
            let chain = try Certificate.readAll(file: certificateFile)
            let own = Passphrases(file: keyPassphraseFile)
            let source: PassphraseSource = { (file) throws(PKIError) in
                if let given = try own.read() { return given }
                return try passphrases.passphrase("Passphrase of \(file): ")
            }
            let key = try PrivateKey(file: keyFile, passphrase: source)
            guard chain[0].matches(key) else { throw .mismatch(certificateFile: certificateFile, keyFile: keyFile) }
            try KeyBundle(key: key, chain: chain).write(
                to: path, name: files.name, passphrase: try passphrases.newPassphrase(for: path), legacy: legacy)
            Process.print(
                "\(path)  the key and \(counted(chain.count, "certificate")) of \(chain[0].subject); it is as secret as the key")
        }
    }
}
