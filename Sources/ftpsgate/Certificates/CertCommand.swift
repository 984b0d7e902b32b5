import ArgumentParser
import PKI
import System

/// `ftpsgate cert`: keys, requests, signatures and trust, without a word of OpenSSL.
struct CertCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cert",
        abstract: "Make and judge certificates, keys and signing requests; sign, trust and revoke.",
        discussion: """
            NAME.key   the private key. It never leaves its machine and is never printed.
            NAME.csr   the certificate signing request: what an authority is sent.
            NAME.crt   the certificate. A self-signed one is made at once; the signed one replaces the unsigned one.

            An authority of one's own, for a gateway and its clients:

              ftpsgate cert authority my-authority
              ftpsgate cert create ftps.example.com --authority my-authority
              ftpsgate cert create joe --for client --authority my-authority
              ftpsgate cert trust add my-authority.crt
              ftpsgate --backend 192.168.1.20 --cert ftps.example.com.crt --key ftps.example.com.key --client-cert require
            """,
        subcommands: [
            CreateCommand.self, SignCommand.self, AuthorityCommand.self, ShowCommand.self, CheckCertificateCommand.self,
            TrustCommand.self, RevokeCommand.self, RevocationListCommand.self, ExportCommand.self,
        ])

    /// Runs what may fail on the operator's files: the failure is one sentence on standard error, and status 64.
    static func telling(_ body: () throws(PKIError) -> Void) throws {
        do throws(PKIError) {
            try body()
        } catch {
            Process.complain("ftpsgate: \(error)")
            throw ExitStatus.misconfigured
        }
    }
}

/// The files of one name.
struct NamedFiles {
    let base: String
    var key: String { "\(base).key" }
    var request: String { "\(base).csr" }
    var certificate: String { "\(base).crt" }
    var revocationList: String { "\(base).crl" }
    var revocationRecord: String { "\(base).revoked" }
    /// Without the folders before it.
    var name: String { base.split(separator: "/").last.map(String.init) ?? base }

    /// - Parameter text: the name, or one of its files.
    init(_ text: String) {
        let ending = [".crt", ".csr", ".key", ".crl", ".pem"].first(where: text.hasSuffix)
        base = ending.map { String(text.dropLast($0.count)) } ?? text
    }

    /// For what is to be made.
    /// - Throws: where no file could have that name, or nobody would find it.
    init(new text: String) throws(PKIError) {
        self.init(text)
        guard !base.isEmpty, !base.hasSuffix("/"), name != ".", name != ".." else { throw .noName(text) }
    }

    /// A file that is there: the one of this name, or the name's certificate or request.
    static func find(_ text: String, _ other: KeyPath<NamedFiles, String>) -> String {
        let named = NamedFiles(text)[keyPath: other]
        return !Backup.exists(text) && Backup.exists(named) ? named : text
    }
}

/// "1 certificate", "2 certificates".
func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

/// "server", "client" or "both".
enum Purposes: String, ExpressibleByArgument, CaseIterable {
    case server, client, both

    var set: Set<Certificate.Purpose> {
        switch self {
        case .server: [.server]
        case .client: [.client]
        case .both: [.server, .client]
        }
    }
}

/// "p256", "rsa-3072".
enum KeyType: String, ExpressibleByArgument, CaseIterable {
    case p256, p384, ed25519
    case rsa2048 = "rsa-2048"
    case rsa3072 = "rsa-3072"
    case rsa4096 = "rsa-4096"

    var kind: PrivateKey.Kind {
        switch self {
        case .p256: .p256
        case .p384: .p384
        case .ed25519: .ed25519
        case .rsa2048: .rsa(bits: 2048)
        case .rsa3072: .rsa(bits: 3072)
        case .rsa4096: .rsa(bits: 4096)
        }
    }
}

struct PassphraseOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The first line of this file opens encrypted keys.", valueName: "file"))
    var passphraseFile: String?
    @Option(help: ArgumentHelp("This environment variable opens encrypted keys.", valueName: "name"))
    var passphraseEnv: String?
    @Option(help: ArgumentHelp("The first line of this open descriptor opens encrypted keys.", valueName: "n"))
    var passphraseFd: Int32?
    @Option(help: ArgumentHelp("The first line that this command prints opens encrypted keys.", valueName: "command"))
    var passphraseCommand: String?

    private var given: Passphrases {
        Passphrases(file: passphraseFile, variable: passphraseEnv, descriptor: passphraseFd, command: passphraseCommand)
    }

    /// Asks at the terminal where no flag says anything else.
    func passphrase(_ prompt: String) throws(PKIError) -> [UInt8]? { try given.read() ?? SecretInput.ask(prompt) }

    var source: PassphraseSource {
        { (file) throws(PKIError) in try passphrase("Passphrase of \(file): ") }
    }

    /// For a key that is being made: typed twice where it is typed.
    func newPassphrase(for file: String) throws(PKIError) -> [UInt8] {
        if let given = try given.read() {
            // A key that seems protected and is not is worse than an error.
            guard !given.isEmpty else { throw .emptyPassphrase(file: file) }
            return given
        }
        guard let first = SecretInput.ask("New passphrase of \(file): "), let second = SecretInput.ask("The same again: ") else {
            throw .noNewPassphrase(file: file)
        }
        guard first == second, !first.isEmpty else { throw .passphrasesDiffer }
        return first
    }
}

/// The passphrase of encrypted keys, from where the operator keeps it.
struct Passphrases {
    var file: String?
    var variable: String?
    var descriptor: Int32?
    var command: String?

    /// The first line of what the operator names; nil where nothing is named.
    func read() throws(PKIError) -> [UInt8]? {
        if let file {
            var bytes = try File.read(file)
            defer { wipe(&bytes) }
            return SecretInput.firstLine(of: bytes)
        }
        if let variable {
            guard let text = Process.environment[variable] else {
                throw .noPassphrase(source: "the environment variable \(variable)")
            }
            return Array(text.utf8)
        }
        if let descriptor {
            guard let bytes = SecretInput.line(from: descriptor) else { throw .noPassphrase(source: "descriptor \(descriptor)") }
            return bytes
        }
        guard let command else { return nil }
        guard let bytes = SecretInput.run(command) else { throw .noPassphrase(source: "the command \"\(command)\"") }
        return bytes
    }
}

/// An authority by its name, or by its two files.
struct AuthorityOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The authority that signs: NAME.crt and NAME.key are used.", valueName: "name"))
    var authority: String?
    @Option(help: ArgumentHelp("The authority's certificate, where it has another name.", valueName: "file"))
    var authorityCert: String?
    @Option(help: ArgumentHelp("The authority's private key, where it has another name.", valueName: "file"))
    var authorityKey: String?

    var isGiven: Bool { authority != nil || authorityCert != nil }

    /// The name that files beside the authority's certificate begin with.
    var files: NamedFiles { NamedFiles(authorityCert ?? authority ?? "") }

    func load(_ passphrase: @escaping PassphraseSource) throws(PKIError) -> CertificateAuthority {
        let files = NamedFiles(authority ?? authorityCert ?? "")
        let key = authorityKey ?? files.key
        if PrivateKey.isReadableByEveryone(key) { throw .readableKey(file: key) }
        return try CertificateAuthority(
            certificateFile: authorityCert ?? files.certificate, keyFile: key, passphrase: passphrase)
    }
}

extension AuthorityOptions {
    func validate() throws {
        if authorityKey != nil, !isGiven { throw ValidationError("--authority-key needs --authority-cert beside it.") }
    }
}
