import ArgumentParser
import PKI
import System

/// `ftpsgate cert sign`: a request becomes a certificate.
struct SignCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sign",
        abstract: "Sign a certificate signing request with an authority's certificate and key.",
        discussion: """
            NAME.csr becomes NAME.crt: the signed one replaces the unsigned one, which is kept as NAME.crt.old. Names are taken \
            from the request; what the certificate may be used for as well, unless --for says otherwise. A server's certificate \
            that was made with --signs-clients is an authority for its clients.
            """)

    @Argument(help: "The request, NAME.csr.")
    var request: String
    @OptionGroup var authority: AuthorityOptions
    @Option(
        help: ArgumentHelp("What the holder is: server, client, both. Default: what the request asks for.", valueName: "purpose"))
    var `for`: Purposes?
    @Option(help: ArgumentHelp("For how many days.", valueName: "n"))
    var days = 365
    @Option(help: ArgumentHelp("The certificate's file, where it is not NAME.crt.", valueName: "file"))
    var out: String?
    @OptionGroup var passphrases: PassphraseOptions

    func validate() throws {
        guard authority.isGiven else { throw ValidationError("Who signs? Name the authority with --authority.") }
        guard (1...36_500).contains(days) else { throw ValidationError("--days is a number from 1 to 36500.") }
    }

    func run() throws {
        try CertCommand.telling { () throws(PKIError) in
            let file = NamedFiles.find(self.request, \.request)
            let request = try CertificateRequest(file: file)
            let purposes = self.for?.set ?? request.wishes.purposes
            guard !purposes.isEmpty else { throw .noPurpose(file: file) }
            let signed = try SignedCertificate(
                request, by: try authority.load(passphrases.source), role: .member(purposes), days: days)
            try signed.write(to: out ?? NamedFiles(self.request).certificate)
        }
    }
}

/// A certificate that an authority has signed, with what must stand behind it.
struct SignedCertificate {
    let chain: [Certificate]

    init(
        _ request: CertificateRequest, by authority: CertificateAuthority, role: CertificateProfile.Role, days: Int
    ) throws(PKIError) {
        chain = [try authority.sign(request, role: role, days: days)] + authority.chainForHolders
    }

    /// The old file is kept; says what was done.
    func write(to path: String) throws(PKIError) {
        let old = try Backup.keep(path)
        try Certificate.write(chain, to: path)
        let details = chain[0].details
        Process.print(
            "\(path)  certificate of \(chain[0].subject), signed by \(details.issuer), good until \(day(chain[0].notAfter))")
        if let old { Process.print("\(old)  the certificate before it") }
    }
}
