import ArgumentParser
import PKI
import System

/// `ftpsgate cert create`: a key, a request and a certificate in one go.
struct CreateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Make a private key, a certificate signing request and a self-signed certificate.",
        discussion: """
            Writes NAME.key, NAME.csr and NAME.crt. The certificate is self-signed, and good enough to begin with; send the \
            request to an authority, and let the signed certificate replace the unsigned one. With --authority it is signed \
            at once.
            """)

    @Argument(help: "The name of the files, and of the holder: ftps.example.com for a server, joe for a client.")
    var name: String
    @Option(help: ArgumentHelp("What the holder is: server, client, both.", valueName: "purpose"))
    var `for` = Purposes.server
    @Flag(help: "A server's certificate that may sign its clients' requests itself.")
    var signsClients = false
    @Option(help: ArgumentHelp("A DNS name of the holder; repeatable. NAME is one where it looks like one.", valueName: "name"))
    var dns: [String] = []
    @Option(help: ArgumentHelp("An IP address of the holder; repeatable.", valueName: "address"))
    var ip: [String] = []
    @Option(help: ArgumentHelp("An e-mail address of the holder; repeatable.", valueName: "address"))
    var email: [String] = []
    @Option(help: ArgumentHelp("A URI of the holder; repeatable.", valueName: "uri"))
    var uri: [String] = []
    @Option(help: ArgumentHelp("The common name, where it is not NAME.", valueName: "text"))
    var commonName: String?
    @Option(help: ArgumentHelp("The holder's organisation.", valueName: "text"))
    var organization: String?
    @Option(help: ArgumentHelp("For how many days.", valueName: "n"))
    var days = 365
    @Option(help: ArgumentHelp("p256, p384, ed25519, rsa-2048, rsa-3072, rsa-4096.", valueName: "type"))
    var keyType = KeyType.p256
    @OptionGroup var authority: AuthorityOptions
    @Flag(help: "Encrypt the key with a passphrase.")
    var encrypt = false
    @Flag(help: "Keep the key that is there; make the request and the certificate anew.")
    var reuseKey = false
    @Flag(help: "Overwrite a key that is there.")
    var force = false
    @OptionGroup var passphrases: PassphraseOptions

    func validate() throws {
        guard (1...36_500).contains(days) else { throw ValidationError("--days is a number from 1 to 36500.") }
        if signsClients, `for` == .client { throw ValidationError("--signs-clients is for a server's certificate.") }
    }

    func run() throws {
        try CertCommand.telling { () throws(PKIError) in
            let files = try NamedFiles(new: name)
            let profile = try profile(files)
            if `for` != .client, profile.dnsNames.isEmpty, profile.ipAddresses.isEmpty {
                Process.complain(
                    "ftpsgate: warning: the certificate has no DNS name and no address, and clients of today look at nothing else; add --dns or --ip."
                )
            }
            let signer = authority.isGiven ? try authority.load(passphrases.source) : nil
            let key = try KeyFile(files.key, passphrases).prepare(keyType.kind, encrypt: encrypt, reuse: reuseKey, force: force)
            let request = try CertificateRequest.make(key: key, profile: profile)
            try request.write(to: files.request)
            Process.print("\(files.key)  private key (\(key.text)); keep it secret, and on this machine")
            Process.print("\(files.request)  certificate signing request: send it to an authority, which signs it")
            if let signer {
                try SignedCertificate(request, by: signer, role: profile.role, days: days).write(to: files.certificate)
            } else {
                let certificate = try Certificate.selfSigned(key: key, profile: profile, days: days)
                try Backup.keep(files.certificate)
                try certificate.write(to: files.certificate)
                Process.print(
                    "\(files.certificate)  self-signed certificate, good until \(day(certificate.notAfter)); the signed one replaces it"
                )
                Process.print("SHA-256 fingerprint: \(certificate.sha256Fingerprint)")
            }
        }
    }

    private func profile(_ files: NamedFiles) throws(PKIError) -> CertificateProfile {
        let isServer = `for` != .client
        let isName = isServer && isHostName(files.name) && !dns.contains(files.name)
        let isAddress = isServer && CertificateProfile.isAddress(files.name) && !ip.contains(files.name)
        return try CertificateProfile(
            commonName: commonName ?? files.name, organization: organization,
            dnsNames: (isName && !isAddress ? [files.name] : []) + dns,
            ipAddresses: (isAddress ? [files.name] : []) + ip, emails: email, uris: uri,
            role: signsClients ? .serverThatSigns : .member(`for`.set))
    }
}

/// A key's file: made, or used again; never overwritten unasked.
struct KeyFile {
    let path: String
    let passphrases: PassphraseOptions

    init(_ path: String, _ passphrases: PassphraseOptions) {
        self.path = path
        self.passphrases = passphrases
    }

    func prepare(_ kind: PrivateKey.Kind, encrypt: Bool, reuse: Bool, force: Bool) throws(PKIError) -> PrivateKey {
        if reuse {
            if PrivateKey.isReadableByEveryone(path) { throw .readableKey(file: path) }
            return try PrivateKey(file: path, passphrase: passphrases.source)
        }
        if Backup.exists(path), !force { throw .keyExists(file: path) }
        let passphrase = encrypt ? try passphrases.newPassphrase(for: path) : nil
        let key = try PrivateKey.make(kind)
        try key.write(to: path, passphrase: passphrase)
        return key
    }
}

/// "2027-11-24".
func day(_ seconds: Int64) -> String { String(dateText(seconds).prefix(10)) }
