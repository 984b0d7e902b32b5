import ArgumentParser

/// The command line. Each subcommand turns its words into values and hands them on; nothing below knows of flags.
@main
struct FTPSGate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ftpsgate",
        abstract: "Offers a plain FTP server to the world over FTPS, without touching it.",
        discussion: """
            Clients speak TLS to ftpsgate; ftpsgate speaks plain FTP to the server behind it:

              ftpsgate --backend 192.168.1.20

            listens on port 21, makes itself a certificate, and relays logins, listings, uploads and downloads.
            Every flag is also read from the environment (FTPSGATE_LISTEN for --listen) and from a file (--config).
            """,
        version: Version.text,
        subcommands: [ServeCommand.self, CheckCommand.self, CertCommand.self, HealthcheckCommand.self],
        defaultSubcommand: ServeCommand.self)

    static func main() {
        guard let line = PlainCommandLine(CommandLine.arguments.dropFirst()) else { return main(nil) }
        do {
            try line.run()
        } catch {
            exit(withError: error)
        }
    }
}
