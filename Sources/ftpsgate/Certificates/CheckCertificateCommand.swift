import ArgumentParser
import PKI
import System

/// `ftpsgate cert check`: will it work?
struct CheckCertificateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Compare a certificate, its chain and its key, and warn of what will not work.",
        discussion:
            "Looks at expiry, weak keys, a missing intermediate, a wrong purpose, and names that do not match. Ends with status 1 where something is wrong."
    )

    @Argument(help: "The certificate with its chain; NAME means NAME.crt.")
    var certificate: String
    @Option(help: ArgumentHelp("The private key. Default: NAME.key where it is there.", valueName: "file"))
    var key: String?
    @Option(help: ArgumentHelp("A host name or address that clients ask for.", valueName: "host"))
    var host: String?
    @Option(help: ArgumentHelp("What it is used as: server, client, both. Default: what it says.", valueName: "purpose"))
    var `for`: Purposes?
    @OptionGroup var passphrases: PassphraseOptions

    func validate() throws {
        if host?.isEmpty == true { throw ValidationError("--host is a host name or an address.") }
    }

    func run() throws {
        var isGood = true
        try CertCommand.telling { () throws(PKIError) in
            let named = NamedFiles(certificate)
            let file = NamedFiles.find(certificate, \.certificate)
            let keyFile = key ?? (Backup.exists(named.key) ? named.key : nil)
            let chain = try Certificate.readAll(file: file)
            let key = try keyFile.map { (path) throws(PKIError) in try PrivateKey(file: path, passphrase: passphrases.source) }
            let purposes = self.for?.set ?? chain[0].details.purposes.map { $0.isEmpty ? [.server] : $0 } ?? [.server]
            var findings: [Finding] = []
            for purpose in Certificate.Purpose.allCases where purposes.contains(purpose) {
                for finding in Finding.about(chain, key: key, purpose: purpose, host: host) where !findings.contains(finding) {
                    findings.append(finding)
                }
            }
            if let keyFile, PrivateKey.isReadableByEveryone(keyFile) {
                findings.append(Finding(severity: .wrong, text: "\(PKIError.readableKey(file: keyFile))"))
            }
            for finding in findings { Process.print("\(finding.severity == .wrong ? "wrong" : "warning"): \(finding.text)") }
            isGood = !findings.contains { $0.severity == .wrong }
            if isGood {
                Process.print("\(file) is good until \(day(chain[0].notAfter))\(keyFile.map { ", and \($0) is its key" } ?? "").")
            }
        }
        if !isGood { throw ExitStatus.failed }
    }
}
