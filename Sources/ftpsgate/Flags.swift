import ArgumentParser

/// The flags of `serve`, `check` and `healthcheck`, as texts: they are judged together with the environment and the file, so
/// that every mistake is told at once (`Settings`). Each name stands in `FlagNames` as well.
struct Flags: ParsableArguments, Sendable {
    @OptionGroup(title: "Where clients connect") var listening: ListeningFlags
    @OptionGroup(title: "The FTP server behind") var backend: BackendFlags
    @OptionGroup(title: "Certificates and TLS") var tls: TLSFlags
    @OptionGroup(title: "Data connections") var data: DataFlags
    @OptionGroup(title: "Who may do what") var access: AccessFlags
    @OptionGroup(title: "Limits and clocks (500ms, 30s, 5m, 24h; 0 switches a clock off)") var limits: LimitFlags
    @OptionGroup(title: "Operation") var operation: OperationFlags
}

struct ListeningFlags: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            "Explicit FTPS (AUTH TLS) here; repeatable; systemd:NAME takes a socket of socket activation. Default: 21 when no listener is named.",
            valueName: "[host:]port"))
    var listen: [String] = []
    @Option(help: ArgumentHelp("Implicit FTPS (TLS from the first byte) here; repeatable.", valueName: "[host:]port"))
    var listenImplicit: [String] = []
    @Flag(inversion: .prefixedNo, help: "Take implicit clients on the explicit ports as well: the first byte tells.")
    var autodetect: Bool?
    @Option(help: ArgumentHelp("Text of the greeting (220).", valueName: "text"))
    var greeting: String?
}

struct BackendFlags: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            "The plain FTP server; required. Repeatable: the next is tried when one cannot be reached.", valueName: "host[:port]")
    )
    var backend: [String] = []
    @Option(
        help: ArgumentHelp(
            "How data connections to the backend are made: auto, client, passive, active, pasv, epsv, port, eprt. Default: auto.",
            valueName: "mode"), completion: .list(["auto", "client", "passive", "active", "pasv", "epsv", "port", "eprt"]))
    var backendData: String?
    @Option(
        help: ArgumentHelp(
            "Which address is dialled after the backend's 227: control (the control connection's), any (what it says), or networks in which it is believed. Default: control.",
            valueName: "rule"))
    var backendPasvAddress: String?
    @Option(help: ArgumentHelp("Connect to the backend from this address.", valueName: "address"))
    var backendSource: String?
    @Flag(inversion: .prefixedNo, help: "Keep the backend's addresses and banner from clients.")
    var hideBackend: Bool?
}

struct TLSFlags: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            "Certificate chain, PEM; repeatable, each with its --key; or a PKCS #12 bundle (.p12, .pfx), which holds its key. An OCSP response in FILE.ocsp is stapled. Default: a self-signed one is made and kept.",
            valueName: "file"), completion: .file())
    var cert: [String] = []
    @Option(help: ArgumentHelp("Private key, PEM; in the order of the --cert flags.", valueName: "file"), completion: .file())
    var key: [String] = []
    @Flag(
        inversion: .prefixedNo,
        help: "Ask the responders of the certificates' authorities for OCSP responses to staple. Default: no.")
    var ocspFetch: Bool?
    @Option(help: ArgumentHelp("The oldest TLS version that is spoken: 1.2, 1.3. Default: 1.2.", valueName: "version"))
    var tlsMin: String?
    @Option(help: ArgumentHelp("The newest TLS version that is spoken: 1.2, 1.3. Default: 1.3.", valueName: "version"))
    var tlsMax: String?
    @Option(
        help: ArgumentHelp("Ciphers of TLS 1.2, in OpenSSL's notation. Default: Mozilla's intermediate.", valueName: "list"))
    var tlsCiphers: String?
    @Option(
        help: ArgumentHelp("Ciphers of TLS 1.3, in OpenSSL's notation. Default: Mozilla's intermediate.", valueName: "list"))
    var tlsCiphersuites: String?
    @Option(
        help: ArgumentHelp(
            "Groups of the key exchange, in OpenSSL's notation. Default: Mozilla's intermediate, with X25519MLKEM768 in front where OpenSSL has it.",
            valueName: "list"))
    var tlsGroups: String?
    @Option(
        help: ArgumentHelp(
            "Signature algorithms of handshakes, in OpenSSL's notation, such as ECDSA+SHA256:RSA-PSS+SHA256. Default: OpenSSL's.",
            valueName: "list"))
    var tlsSignatures: String?
    @Option(
        help: ArgumentHelp(
            "For how long a TLS session can be resumed, by data connections above all: as long as your longest sessions. Default: 24h.",
            valueName: "duration"))
    var tlsSessionLifetime: String?
    @Flag(
        inversion: .prefixedNo,
        help: "Also TLS 1.0, 1.1 and old ciphers without forward secrecy, for clients that know nothing better. Not safe.")
    var tlsLegacy: Bool?
    @Flag(inversion: .prefixedNo, help: "Turn away clients that ask for no name, or for one that no certificate has.")
    var sniStrict: Bool?
    @Flag(
        inversion: .prefixedNo,
        help: "Turn away clients that offer protocols (ALPN) and none of FTP's. Default: yes.")
    var alpnStrict: Bool?
    @Option(
        help: ArgumentHelp(
            "Keys of session tickets, one of 80 bytes a line in base64, oldest first: for several gateways behind one address.",
            valueName: "file"), completion: .file())
    var ticketKeys: String?
    @Option(
        help: ArgumentHelp(
            "A secret of at least 32 bytes from which several gateways derive the same keys of session tickets.",
            valueName: "file"))
    var ticketSecretFile: String?
    @Option(help: ArgumentHelp("For how long a key encrypts session tickets. Default: 12h.", valueName: "duration"))
    var ticketRotation: String?
    @Option(
        help: ArgumentHelp(
            "Change TLS 1.3's keys after sending so much on one connection, such as 64GiB; 0: never. Default: 64GiB.",
            valueName: "size"))
    var rekeyBytes: String?
    @Option(
        help: ArgumentHelp(
            "Let the kernel encrypt long downloads (kernel TLS): auto (where it can), on (ftpsgate does not start where it cannot), off. Default: off.",
            valueName: "choice"), completion: .list(["auto", "on", "off"]))
    var ktls: String?
    @Option(
        help: ArgumentHelp("Certificates of clients: off, request, require. Default: off.", valueName: "choice"),
        completion: .list(["off", "request", "require"]))
    var clientCert: String?
    @Option(
        help: ArgumentHelp(
            "The authorities that may have signed clients' certificates: a PEM file, or a folder of .crt files. Default: the trusted authorities database (ftpsgate cert trust), which is trusted in the state directory.",
            valueName: "path"), completion: .file())
    var clientCa: String?
    @Option(
        help: ArgumentHelp(
            "Other rules for clients of one port, or for those that ask for one name (SNI), such as 990=require or partner.example.com=require,ca=FILE,crl=FILE,ocsp=hard,allow=RULE,deny=RULE; repeatable.",
            valueName: "rule"))
    var clientCertFor: [String] = []
    @Option(
        help: ArgumentHelp(
            "Authorities between a client's certificate and the trusted one, at most. Default: 5.", valueName: "n"))
    var clientCertDepth: String?
    @Option(
        help: ArgumentHelp(
            "Lists of revoked clients' certificates (CRL): a file, or a folder of .crl files.", valueName: "path"),
        completion: .file())
    var clientCrl: String?
    @Option(
        help: ArgumentHelp(
            "How the lists count: off, soft (what they name is refused), hard (every authority must have a current list). Default: soft with --client-crl.",
            valueName: "choice"))
    var clientCrlCheck: String?
    @Option(
        help: ArgumentHelp(
            "Ask the responder (OCSP) that a client's certificate names: off, soft (what it calls revoked is refused), hard (what it does not call good). Default: off.",
            valueName: "choice"), completion: .list(["off", "soft", "hard"]))
    var clientOcsp: String?
    @Option(
        help: ArgumentHelp(
            "Only clients whose certificate has this: cn, ou, o, email, dns, uri, upn, subject, issuer, serial, spki (the key's SHA-256) or sha256, then = and a pattern, such as ou=Printers; repeatable, and one is enough.",
            valueName: "rule"))
    var clientCertAllow: [String] = []
    @Option(
        help: ArgumentHelp("No client whose certificate has this, such as serial=0A:1B; repeatable.", valueName: "rule"))
    var clientCertDeny: [String] = []
    @Flag(inversion: .prefixedNo, help: "Tell clients the names of the trusted authorities. Default: yes.")
    var clientCaNames: Bool?
    @Option(
        help: ArgumentHelp(
            "A client may only log in as the user that its certificate names: cn, email, dns, uri or upn, or with a pattern around the name, such as email=*@example.com; repeatable.",
            valueName: "rule"))
    var clientCertUser: [String] = []
    @Option(
        help: ArgumentHelp(
            "Certificates log in without a password: a file (mode 0600) of lines USER PASSWORD, which the backend is given.",
            valueName: "file"))
    var clientCertLogin: String?
    @Option(help: ArgumentHelp("The first line of this file opens encrypted private keys.", valueName: "file"))
    var keyPassphraseFile: String?
    @Option(help: ArgumentHelp("This environment variable opens encrypted private keys.", valueName: "name"))
    var keyPassphraseEnv: String?
    @Option(help: ArgumentHelp("The first line from this open descriptor opens encrypted private keys.", valueName: "n"))
    var keyPassphraseFd: String?
    @Option(
        help: ArgumentHelp("The first line that this command prints opens encrypted private keys.", valueName: "command"))
    var keyPassphraseCommand: String?
    @Option(
        help: ArgumentHelp(
            "TLS on the control connection: required, optional; then PORT=CHOICE or CIDR=CHOICE for clients of a listener or network, after commas. Default: required.",
            valueName: "rule"),
        completion: .list(["required", "optional"]))
    var controlTls: String?
    @Option(
        help: ArgumentHelp(
            "TLS on data connections: required, optional; then PORT=CHOICE or CIDR=CHOICE, after commas. Default: required.",
            valueName: "rule"),
        completion: .list(["required", "optional"]))
    var dataTls: String?
    @Option(
        help: ArgumentHelp(
            "Data connections before the client says PROT: P (protected) or C (in the clear); behind AUTH TLS. Default: C.",
            valueName: "level"), completion: .list(["C", "P"]))
    var protDefaultExplicit: String?
    @Option(
        help: ArgumentHelp(
            "Likewise behind AUTH SSL, which old clients mean by protected data, and some by AUTH TLS. Default: P.",
            valueName: "level"), completion: .list(["C", "P"]))
    var authSslProt: String?
    @Option(
        help: ArgumentHelp("Likewise on ports of implicit FTPS. Default: P.", valueName: "level"), completion: .list(["C", "P"]))
    var implicitDefaultProt: String?
    @Flag(inversion: .prefixedNo, help: "Take PROT from clients that leave PBSZ out.")
    var pbszOptional: Bool?
    @Flag(inversion: .prefixedNo, help: "Let clients end TLS on the control connection after the login (CCC).")
    var allowCcc: Bool?
}

struct DataFlags: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            "Ports for passive data connections: MIN-MAX, one PORT, or 0:N for N ports of the kernel's choice. Default: 50000-50999.",
            valueName: "ports"))
    var passivePorts: String?
    @Option(
        help: ArgumentHelp(
            "The address that PASV names: auto (the one that the client connected to), an address, a name, interface:NAME; then CIDR=ADDRESS for clients of a network, after commas. Default: auto.",
            valueName: "rule"))
    var passiveAddress: String?
    // The number may begin with a minus.
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Clients are told each passive port plus this number, since something on the way forwards the one to the other. Default: 0.",
            valueName: "n"))
    var passivePortOffset: String?
    @Option(
        help: ArgumentHelp(
            "Clients are told other ports than those listened on: OURS=THEIRS, ports or ranges, with commas between several, such as 50000-50009=40000-40009.",
            valueName: "map"))
    var passivePortMap: String?
    @Option(
        help: ArgumentHelp(
            "Must data connections resume the control connection's TLS session: require, prefer, off; then PORT=CHOICE or CIDR=CHOICE for clients of a listener or network, after commas. Default: prefer.",
            valueName: "rule"))
    var dataSession: String?
    @Option(
        help: ArgumentHelp(
            "Uploads reach the backend only after the data connection's TLS is up: auto, always, off. Default: auto.",
            valueName: "choice"), completion: .list(["auto", "always", "off"]))
    var verifyBeforeStore: String?
    @Option(
        help: ArgumentHelp(
            "Uploads that end without TLS close_notify: strict (incomplete), lenient, or lenient:CIDR,CIDR. Default: strict.",
            valueName: "rule"))
    var uploadEof: String?
    @Option(
        help: ArgumentHelp("Port that active data connections come from: any, PORT, MIN-MAX. Default: any.", valueName: "ports"))
    var activeSourcePort: String?
}

struct AccessFlags: ParsableArguments, Sendable {
    @Option(help: ArgumentHelp("Only clients of these networks; repeatable, or separated by commas.", valueName: "cidr"))
    var allowFrom: [String] = []
    @Option(help: ArgumentHelp("No clients of these networks.", valueName: "cidr"))
    var denyFrom: [String] = []
    @Option(help: ArgumentHelp("Only these users; * and ? are wildcards.", valueName: "pattern"))
    var allowUser: [String] = []
    @Option(help: ArgumentHelp("Not these users.", valueName: "pattern"))
    var denyUser: [String] = []
    @Option(
        help: ArgumentHelp("What may be done: full, read-only, upload-only, list-only. Default: full.", valueName: "preset"),
        completion: .list(["full", "read-only", "upload-only", "list-only"]))
    var access: String?
    @Option(help: ArgumentHelp("Only these commands: VERB or VERB=PATTERN, separated by commas.", valueName: "list"))
    var allowCommand: [String] = []
    @Option(help: ArgumentHelp("Not these commands.", valueName: "list"))
    var denyCommand: [String] = []
}

struct LimitFlags: ParsableArguments, Sendable {
    @Option(help: ArgumentHelp("Sessions at a time; 0: no limit. Default: 0.", valueName: "n"))
    var maxSessions: String?
    @Option(help: ArgumentHelp("Sessions of one client address at a time; 0: no limit. Default: 0.", valueName: "n"))
    var maxSessionsPerAddress: String?
    @Option(
        help: ArgumentHelp(
            "Sessions that begin in a second, and with them TLS handshakes of strangers; further clients wait. 0: no limit. Default: 0.",
            valueName: "n"))
    var maxHandshakeRate: String?
    @Option(help: ArgumentHelp("Failed logins before a session is closed; 0: no limit. Default: 5.", valueName: "n"))
    var maxLoginAttempts: String?
    @Option(
        help: ArgumentHelp(
            "A client's command line, at most; the third that is longer ends the session. Default: 8KiB.", valueName: "size"))
    var maxCommandLine: String?
    @Option(help: ArgumentHelp("A user's name, at most. Default: 256.", valueName: "size"))
    var maxUserLength: String?
    @Option(help: ArgumentHelp("A password, at most. Default: 1KiB.", valueName: "size"))
    var maxPasswordLength: String?
    @Option(
        help: ArgumentHelp("Any other command's argument, at most; 0: as long as the line may be. Default: 0.", valueName: "size")
    )
    var maxPathLength: String?
    @Option(help: ArgumentHelp("A line of the backend's replies, at most. Default: 64KiB.", valueName: "size"))
    var maxReplyLine: String?
    @Option(help: ArgumentHelp("A reply of the backend, at most. Default: 1MiB.", valueName: "size"))
    var maxReplyBytes: String?
    @Option(help: ArgumentHelp("Lines of one reply of the backend, at most. Default: 20000.", valueName: "n"))
    var maxReplyLines: String?
    @Option(help: ArgumentHelp("Without a command and without a transfer. Default: 10m.", valueName: "duration"))
    var idleTimeout: String?
    @Option(help: ArgumentHelp("From the connection to the login. Default: 2m.", valueName: "duration"))
    var loginTimeout: String?
    @Option(help: ArgumentHelp("For a TLS handshake. Default: 10s.", valueName: "duration"))
    var handshakeTimeout: String?
    @Option(
        help: ArgumentHelp(
            "For a data connection to come, and for a transfer without a byte moved. Default: 5m.", valueName: "duration"))
    var dataTimeout: String?
    @Option(help: ArgumentHelp("For each attempt to connect. Default: 5s.", valueName: "duration"))
    var connectTimeout: String?
    @Option(help: ArgumentHelp("For the backend's replies. Default: 5m.", valueName: "duration"))
    var replyTimeout: String?
    @Option(
        help: ArgumentHelp(
            "From SIGTERM to the end: running transfers finish, and what is left then is cut; 0: as long as they take. Default: 60s.",
            valueName: "duration"))
    var drainTimeout: String?
    @Option(
        help: ArgumentHelp(
            "How long new clients are still taken after SIGTERM, for load balancers that learn of it late. Default: 0.",
            valueName: "duration"))
    var drainDelay: String?
}

struct OperationFlags: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            "Health (/livez, /readyz) and numbers (/metrics) over HTTP: a port, unix:PATH, or off. A port alone is on loopback. Default: off.",
            valueName: "address"))
    var admin: String?
    @Option(
        help: ArgumentHelp(
            "Event loops, each on a thread: a number, or auto (the processors that affinity and control groups leave). Default: auto.",
            valueName: "n"))
    var workers: String?
    @Option(
        help: ArgumentHelp(
            "Become this user once keys are read and ports are open, where ftpsgate is started by root: NAME, or NAME:GROUP. Default: stay.",
            valueName: "user"))
    var user: String?
    @Option(
        help: ArgumentHelp(
            "Where the self-signed certificate and what must outlive a restart is kept. Default: /var/lib/ftpsgate, or $XDG_STATE_HOME/ftpsgate.",
            valueName: "folder"), completion: .directory)
    var stateDirectory: String?
    @Flag(
        inversion: .prefixedNo,
        help: "Take up certificates, keys, authorities and the --config file when they change, without a signal. Default: yes.")
    var watch: Bool?
    @Option(
        help: ArgumentHelp(
            "Look for changed files this often as well, where the system cannot tell (network file systems); 0: never. Default: 0.",
            valueName: "duration"))
    var reloadInterval: String?
    @Option(
        help: ArgumentHelp("error, warning, info, debug. Default: info.", valueName: "level"),
        completion: .list(["error", "warning", "info", "debug"]))
    var logLevel: String?
    @Option(help: ArgumentHelp("text, json. Default: text.", valueName: "format"), completion: .list(["text", "json"]))
    var logFormat: String?
    @Option(
        help: ArgumentHelp("Read settings from this file: lines of a flag's name and its value.", valueName: "file"),
        completion: .file())
    var config: String?
}

/// A flag as the parser left it.
private protocol ParsedFlag { var texts: [String]? { get } }

extension Option: ParsedFlag {
    fileprivate var texts: [String]? {
        switch wrappedValue as Any {
        case let list as [String]: list.isEmpty ? nil : list
        case let text as String: [text]
        default: nil
        }
    }
}

extension Flag: ParsedFlag {
    fileprivate var texts: [String]? { (wrappedValue as? Bool).map { [$0 ? "true" : "false"] } }
}

extension GivenFlags {
    init(_ flags: Flags) {
        let groups: [any ParsableArguments] = [
            flags.listening, flags.backend, flags.tls, flags.data, flags.access, flags.limits, flags.operation,
        ]
        texts = [:]
        for child in groups.flatMap({ Mirror(reflecting: $0).children }) {
            guard let label = child.label, let flag = child.value as? any ParsedFlag else { continue }
            texts[Self.flagName(label)] = flag.texts
        }
    }

    /// "_listenImplicit" is --listen-implicit.
    private static func flagName(_ label: String) -> String {
        label.drop { $0 == "_" }.reduce(into: "") { name, letter in
            name += letter.isUppercase ? "-\(letter.lowercased())" : String(letter)
        }
    }
}
