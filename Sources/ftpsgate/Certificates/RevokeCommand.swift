public import ArgumentParser
public import PKI
import System

/// `ftpsgate cert revoke`: a certificate is not to be trusted any more.
struct RevokeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke",
        abstract: "Revoke a certificate that an authority has signed.",
        discussion:
            "Notes it in AUTHORITY.revoked and writes the new list, AUTHORITY.crl: give that to the gateway with --client-crl.")

    @Argument(help: "The certificate.")
    var certificate: String
    @OptionGroup var authority: AuthorityOptions
    @Option(
        help: ArgumentHelp(
            "unspecified, key-compromise, superseded, cessation-of-operation, privilege-withdrawn.", valueName: "reason"))
    var reason = Revocation.Reason.unspecified
    @Option(help: ArgumentHelp("Until when the next list comes, in days.", valueName: "n"))
    var days = 30
    @OptionGroup var passphrases: PassphraseOptions

    func validate() throws {
        guard authority.isGiven else { throw ValidationError("Whose certificate is it? Name the authority with --authority.") }
        try RevocationListCommand.judge(days)
    }

    func run() throws {
        try CertCommand.telling { () throws(PKIError) in
            let signer = try authority.load(passphrases.source)
            let file = NamedFiles.find(certificate, \.certificate)
            let certificate = try Certificate.readAll(file: file)[0]
            guard certificate.isSigned(by: signer.certificate) else {
                throw .signedByAnother(file: file, authority: signer.certificateFile)
            }
            var record = try RevocationRecord(file: authority.files.revocationRecord)
            let isNew = try record.add(Revocation(serial: certificate.details.serial, date: Clock.seconds, reason: reason))
            Process.print("\(certificate.details.serial)  \(isNew ? "revoked" : "was revoked before"): \(certificate.subject)")
            try RevocationListCommand.write(record, signer, authority.files.revocationList, days: days)
        }
    }
}

/// `ftpsgate cert crl`: the list of what is revoked, made anew.
struct RevocationListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crl",
        abstract: "Write an authority's list of revoked certificates anew: lists expire.",
        discussion: "Reads AUTHORITY.revoked and writes AUTHORITY.crl.")

    @OptionGroup var authority: AuthorityOptions
    @Option(help: ArgumentHelp("Until when the next list comes, in days.", valueName: "n"))
    var days = 30
    @Option(help: ArgumentHelp("The list's file, where it is not AUTHORITY.crl.", valueName: "file"))
    var out: String?
    @OptionGroup var passphrases: PassphraseOptions

    func validate() throws {
        guard authority.isGiven else { throw ValidationError("Whose list? Name the authority with --authority.") }
        try Self.judge(days)
    }

    static func judge(_ days: Int) throws {
        guard (1...3650).contains(days) else { throw ValidationError("--days is a number from 1 to 3650.") }
    }

    func run() throws {
        try CertCommand.telling { () throws(PKIError) in
            let record = try RevocationRecord(file: authority.files.revocationRecord)
            try Self.write(record, try authority.load(passphrases.source), out ?? authority.files.revocationList, days: days)
        }
    }

    static func write(_ record: RevocationRecord, _ signer: CertificateAuthority, _ path: String, days: Int) throws(PKIError) {
        // Seconds grow from list to list, and need no file of their own.
        let list = try signer.revocationList(record.revocations, days: days, number: Clock.seconds)
        try list.write(to: path)
        Process.print(
            "\(path)  list of \(counted(list.serials.count, "revoked certificate")), the next due on \(day(list.nextUpdate ?? 0))"
        )
    }
}

extension Revocation.Reason: ExpressibleByArgument {}
