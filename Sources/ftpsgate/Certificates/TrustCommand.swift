public import ArgumentParser
public import PKI
import System

/// `ftpsgate cert trust`: the trusted authorities database.
struct TrustCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trust",
        abstract: "Keep the trusted authorities database: who may have signed clients' certificates.",
        discussion:
            "The database is a folder of certificates. The gateway reads it where --client-ca names no other, and sees each change.",
        subcommands: [Add.self, List.self, Remove.self, Test.self])

    struct Database: ParsableArguments {
        @Option(help: ArgumentHelp("The folder. Default: trusted in the state directory.", valueName: "folder"))
        var trusted: String?
        @Option(help: ArgumentHelp("The gateway's state directory. Default: as for serve.", valueName: "folder"))
        var stateDirectory: String?

        /// The folder that `serve` reads with the same settings.
        var list: TrustList { open(makesFiles: false) }

        func open(makesFiles: Bool) -> TrustList {
            if let trusted { return TrustList(path: trusted) }
            let environment = Process.environment
            let chosen = stateDirectory ?? environment["FTPSGATE_STATE_DIRECTORY"].flatMap { $0.isEmpty ? nil : $0 }
            return TrustList(path: StateDirectory.trusted(chosen, environment: environment, makesFiles: makesFiles))
        }
    }

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "add", abstract: "Trust the authorities whose certificates these are.")
        @Argument(help: "Certificates of authorities.")
        var files: [String]
        @Flag(help: "Trust a certificate that is no authority's: its holder alone is then trusted.")
        var single = false
        @OptionGroup var database: Database

        func run() throws {
            try CertCommand.telling { () throws(PKIError) in
                for file in files {
                    for certificate in try Certificate.readAll(file: file) {
                        guard certificate.details.isAuthority || single else { throw .trustsSingle(file: file) }
                        let (path, isNew) = try database.open(makesFiles: true).add(certificate)
                        Process.print("\(path)  \(isNew ? "trusted from now on" : "was trusted before"): \(certificate.subject)")
                    }
                }
            }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "list", abstract: "Show who is trusted.")
        @OptionGroup var database: Database

        func run() throws {
            try CertCommand.telling { () throws(PKIError) in
                let entries = try database.list.entries()
                if entries.isEmpty { Process.print("\(database.list.path) is empty: nobody is trusted yet.") }
                for entry in entries { Process.print(ShowCommand.text(about: entry.certificate, entry.file)) }
            }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "remove", abstract: "Trust an authority no more.")
        @Argument(help: "Its common name, the beginning of its fingerprint (8 digits at least), or its file.")
        var name: String
        @OptionGroup var database: Database

        func run() throws {
            try CertCommand.telling { () throws(PKIError) in
                let gone = try database.list.remove(name)
                guard !gone.isEmpty else { throw .notTrusted(name: name, path: database.list.path) }
                for certificate in gone {
                    Process.print("\(certificate.file)  trusted no more: \(certificate.certificate.subject)")
                }
            }
        }
    }

    struct Test: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "test",
            abstract: "Would this client certificate be accepted? Yes or no, because …",
            discussion: "Ends with status 0 for yes and 1 for no.")
        @Argument(help: "The client's certificate, with its chain where it sends one.")
        var certificate: String
        @Option(help: ArgumentHelp("Authorities in this file or folder instead of the database.", valueName: "path"))
        var clientCa: String?
        @Option(help: ArgumentHelp("Lists of revoked certificates: a file or a folder.", valueName: "path"))
        var clientCrl: String?
        @Option(help: ArgumentHelp("How the lists count: off, soft, hard. Default: soft with --client-crl.", valueName: "choice"))
        var clientCrlCheck: RevocationCheck?
        @Option(help: ArgumentHelp("Authorities between the client's certificate and the trusted one, at most.", valueName: "n"))
        var clientCertDepth = ClientTrust.defaultDepth
        @Option(help: ArgumentHelp("As --client-cert-allow of serve; repeatable.", valueName: "rule"))
        var clientCertAllow: [String] = []
        @Option(help: ArgumentHelp("As --client-cert-deny of serve; repeatable.", valueName: "rule"))
        var clientCertDeny: [String] = []
        @OptionGroup var database: Database

        func validate() throws {
            for rule in clientCertAllow + clientCertDeny where CertificateRule(rule) == nil {
                throw ValidationError("\"\(rule)\" is no rule; write \(Choices.certificateRule).")
            }
        }

        func run() throws {
            var rejection: CertificateRejection?
            try CertCommand.telling { () throws(PKIError) in
                let chain = try Certificate.readAll(file: NamedFiles.find(certificate, \.certificate))
                if let clientCa, !Backup.exists(clientCa) { throw .missingFile(clientCa) }
                let trust = try ClientTrust(
                    authorities: try ClientTrust.authorities(at: clientCa ?? database.list.path),
                    revocationLists: try clientCrl.map { (path) throws(PKIError) in try ClientTrust.revocationLists(at: path) }
                        ?? [],
                    revocationCheck: clientCrlCheck ?? (clientCrl == nil ? .off : .soft), depth: clientCertDepth,
                    allowed: clientCertAllow.compactMap { CertificateRule($0) },
                    denied: clientCertDeny.compactMap { CertificateRule($0) })
                rejection = trust.judge(chain)
                if let rejection {
                    Process.print("no, because of \(rejection.reason.rawValue): \(rejection).")
                } else {
                    Process.print(
                        "yes: \(chain[0].subject) is signed by a trusted authority and good until \(day(chain[0].notAfter)).")
                }
            }
            if rejection != nil { throw ExitStatus.failed }
        }
    }
}

extension RevocationCheck: ExpressibleByArgument {}
