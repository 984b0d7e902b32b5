import ArgumentParser
import PKI
import System

/// `ftpsgate cert authority`: an authority of one's own.
struct AuthorityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "authority",
        abstract: "Make an authority of your own: a certificate that signs others, and its key.",
        discussion: """
            Writes NAME.key and NAME.crt. Give NAME.crt to everyone who shall trust what it signs: to clients, and to the \
            gateway's trusted authorities database (ftpsgate cert trust add NAME.crt). Keep NAME.key where the gateway is not.
            """)

    @Argument(help: "The name of the files, and of the authority.")
    var name: String
    @Option(help: ArgumentHelp("The common name, where it is not NAME.", valueName: "text"))
    var commonName: String?
    @Option(help: ArgumentHelp("The authority's organisation.", valueName: "text"))
    var organization: String?
    @Option(help: ArgumentHelp("For how many days.", valueName: "n"))
    var days = 3650
    @Option(help: ArgumentHelp("p256, p384, ed25519, rsa-2048, rsa-3072, rsa-4096.", valueName: "type"))
    var keyType = KeyType.p256
    @Option(help: ArgumentHelp("How many authorities may stand below it. Default: no limit.", valueName: "n"))
    var pathLength: Int?
    @OptionGroup var authority: AuthorityOptions
    @Flag(help: "Encrypt the key with a passphrase.")
    var encrypt = false
    @Flag(help: "Use the key that is there, for a new certificate with it.")
    var reuseKey = false
    @Flag(help: "Overwrite a key that is there.")
    var force = false
    @OptionGroup var passphrases: PassphraseOptions

    func validate() throws {
        guard (1...36_500).contains(days) else { throw ValidationError("--days is a number from 1 to 36500.") }
        if let pathLength, !(0...20).contains(pathLength) { throw ValidationError("--path-length is a number from 0 to 20.") }
    }

    func run() throws {
        try CertCommand.telling { () throws(PKIError) in
            let files = try NamedFiles(new: name)
            let profile = try CertificateProfile(
                commonName: commonName ?? files.name, organization: organization, role: .authority(pathLength: pathLength))
            let above = authority.isGiven ? try authority.load(passphrases.source) : nil
            let key = try KeyFile(files.key, passphrases).prepare(keyType.kind, encrypt: encrypt, reuse: reuseKey, force: force)
            Process.print("\(files.key)  the authority's private key (\(key.text)); keep it secret")
            if let above {
                let request = try CertificateRequest.make(key: key, profile: profile)
                try SignedCertificate(request, by: above, role: profile.role, days: days).write(to: files.certificate)
            } else {
                let certificate = try Certificate.selfSigned(key: key, profile: profile, days: days)
                try Backup.keep(files.certificate)
                try certificate.write(to: files.certificate)
                Process.print(
                    "\(files.certificate)  the authority's certificate, good until \(day(certificate.notAfter)); give it to all who shall trust it"
                )
                Process.print("SHA-256 fingerprint: \(certificate.sha256Fingerprint)")
            }
        }
    }
}
