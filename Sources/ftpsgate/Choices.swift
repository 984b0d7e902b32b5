import Admin
import FTPProtocol
import FTPSession
import Gateway
import NetIO
import PKI
import System
import TLS
import Telemetry
import Wire

/// Everything that the operator chose, judged, with the files of certificates not yet read.
struct Choices {
    var listeners: [GatewayConfiguration.Listener] = []
    var backends: [GatewayConfiguration.Backend] = []
    /// `--cert` and `--key`, in pairs; a PKCS #12 bundle holds its key.
    var identities: [(certificate: String, key: String?)] = []
    var tls = TLSPolicy()
    var ktls = KTLS.off
    /// Why the kernel cannot do it, where it was asked.
    var ktlsAbsence: SystemError?
    var fetchesStaples = false
    var keyPassphrases = Passphrases()
    var certificateUsers: [CertificateUserRule] = []
    /// `--client-cert-login`, not yet read.
    var clientCertificateLogin: String?
    var ticketKeysFile: String?
    var ticketSecretFile: String?
    var ticketRotation: Duration = .seconds(12 * 3600)
    var session = SessionPolicy()
    var passivePorts = GatewayConfiguration.PassivePorts.range(PortRange(lower: 50000, upper: 50999)!)
    var passiveAddress = GatewayConfiguration.PassiveAddress()
    var passivePortOffset = 0
    var passivePortMap = PortMap()
    var dataSession = GatewayConfiguration.DataSession.prefer
    var dataSessionExceptions: [GatewayConfiguration.Exception<GatewayConfiguration.DataSession>] = []
    var controlTLSExceptions: [GatewayConfiguration.Exception<SessionPolicy.Requirement>] = []
    var dataTLSExceptions: [GatewayConfiguration.Exception<SessionPolicy.Requirement>] = []
    var backendSource: IPAddress?
    var activeSourcePort = GatewayConfiguration.ActiveSourcePort.any
    var autodetect = false
    var allowFrom: [CIDRBlock] = []
    var denyFrom: [CIDRBlock] = []
    var timeouts = GatewayConfiguration.Timeouts()
    var maxSessions = 0
    var maxSessionsPerAddress = 0
    var maxHandshakeRate = 0
    var workers = 1
    /// Nil when it is off.
    var admin: AdminServer.Address?
    var user: Privileges.Account?
    var stateDirectory: String?
    var logLevel = EventLog.Level.info
    var logFormat = EventLog.Format.text

    /// Look at the files again when they change, or at intervals.
    var watchesFiles = true
    var reloadInterval = Duration.zero

    private static let network = "a network such as 192.168.0.0/16 or an address"
    private static let largeNumber = 1_000_000

    /// Reads every setting; the reader keeps what is wrong with them.
    init(_ reader: inout SettingsReader) {
        readListeners(&reader)
        readBackend(&reader)
        readTLS(&reader)
        readData(&reader)
        readAccess(&reader)
        readLimits(&reader)
        readOperation(&reader)
        judgeTogether(&reader)
    }

    private mutating func readListeners(_ reader: inout SettingsReader) {
        let expected = "PORT or HOST:PORT with a numeric host, such as 21, 192.0.2.1:21 or [::1]:21; or systemd:NAME"
        listeners = reader.list("listen", write: expected, separatedByCommas: true) { .init($0, mode: .explicit) }
        listeners += reader.list("listen-implicit", write: expected, separatedByCommas: true) { .init($0, mode: .implicit) }
        if !reader.has("listen"), !reader.has("listen-implicit") { listeners = [.init(mode: .explicit, host: nil, port: 21)] }
        if let wanted = reader.yesOrNo("autodetect") { autodetect = wanted }
        let greeting = reader.one("greeting", write: "one line of printable ASCII, at most 200 characters") { text in
            (1...200).contains(text.utf8.count) && text.utf8.allSatisfy { (32...126).contains($0) } ? text : nil
        }
        if let greeting { session.greeting = greeting }
    }

    private mutating func readBackend(_ reader: inout SettingsReader) {
        let expected = "HOST or HOST:PORT, such as 192.168.1.20, ftp.internal:2121 or [2001:db8::1]:21"
        backends = reader.list("backend", write: expected) { .init($0) }
        if !reader.has("backend") {
            reader.report(
                "backend", "missing", "name the plain FTP server to put the gateway before, such as --backend 192.168.1.20:21")
        }
        if let mode = reader.choice("backend-data", SessionPolicy.BackendData.self) { session.backendData = mode }
        let rule = reader.one("backend-pasv-address", write: "control, any, or networks with commas between them") {
            SessionPolicy.BackendPASVAddress($0)
        }
        if let rule { session.backendPASVAddress = rule }
        backendSource = reader.one("backend-source", write: "an address of this machine") { IPAddress($0) }
        if let wanted = reader.yesOrNo("hide-backend") { session.hideBackend = wanted }
    }

    private mutating func readTLS(_ reader: inout SettingsReader) {
        let certificates = reader.items("cert")
        var keys = reader.items("key")[...]
        let keyless = certificates.filter { !KeyBundle.isNamed($0) }
        if keyless.count != keys.count {
            let (more, fewer) = keyless.count > keys.count ? ("cert", "key") : ("key", "cert")
            reader.report(
                more, "there are \(keyless.count) certificates and \(keys.count) keys",
                "give each --cert its --key, and a .p12 or .pfx file none: one more --\(fewer)")
        }
        identities = certificates.compactMap { certificate in
            if KeyBundle.isNamed(certificate) { return (certificate, nil) }
            return keys.popFirst().map { (certificate, $0) }
        }
        readTLSPolicy(&reader)
        readClientCertificates(&reader)
        if let rule = readByClient("control-tls", SessionPolicy.Requirement.self, &reader) {
            (session.controlTLS, controlTLSExceptions) = (rule.choice, rule.exceptions)
        }
        if let rule = readByClient("data-tls", SessionPolicy.Requirement.self, &reader) {
            (session.dataTLS, dataTLSExceptions) = (rule.choice, rule.exceptions)
        }
        if let wanted = reader.yesOrNo("allow-ccc") { session.allowCCC = wanted }
        if let level = reader.choice("prot-default-explicit", SessionPolicy.DataProtection.self) {
            session.protDefaultExplicit = level
        }
        if let level = reader.choice("auth-ssl-prot", SessionPolicy.DataProtection.self) { session.authSSLProt = level }
        if let level = reader.choice("implicit-default-prot", SessionPolicy.DataProtection.self) {
            session.implicitDefaultProt = level
        }
        if let wanted = reader.yesOrNo("pbsz-optional") { session.pbszOptional = wanted }
    }

    private mutating func readTLSPolicy(_ reader: inout SettingsReader) {
        if let wanted = reader.yesOrNo("tls-legacy") { tls.isLegacy = wanted }
        if tls.isLegacy { tls.minimumVersion = .tls10 }
        if let version = reader.choice("tls-min", TLSVersion.self) { tls.minimumVersion = version }
        if let version = reader.choice("tls-max", TLSVersion.self) { tls.maximumVersion = version }
        if tls.minimumVersion < .tls12 || tls.maximumVersion < .tls12, !tls.isLegacy {
            reader.report(
                tls.minimumVersion < .tls12 ? "tls-min" : "tls-max", "versions before 1.2 are not safe",
                "write 1.2 or 1.3, or add --tls-legacy if old clients leave no choice")
        } else if tls.minimumVersion > tls.maximumVersion {
            reader.report("tls-min", "it is newer than --tls-max", "choose a range that holds a version")
        }
        let text: (String) -> String? = { $0.isEmpty ? nil : $0 }
        tls.ciphers = reader.one("tls-ciphers", write: "a list in OpenSSL's notation", text)
        tls.ciphersuites = reader.one("tls-ciphersuites", write: "a list in OpenSSL's notation", text)
        tls.groups = reader.one("tls-groups", write: "a list in OpenSSL's notation", text)
        tls.signatures = reader.one("tls-signatures", write: "a list in OpenSSL's notation", text)
        if let lifetime = reader.duration("tls-session-lifetime") {
            tls.sessionLifetime = lifetime
            if !(.seconds(60)...(.seconds(7 * 86_400))).contains(lifetime) {
                reader.report("tls-session-lifetime", "not in the range", "write a minute at least and 7d at most, such as 24h")
            }
        }
        if let wanted = reader.yesOrNo("ocsp-fetch") { fetchesStaples = wanted }
        if let wanted = reader.yesOrNo("sni-strict") { tls.requiresKnownName = wanted }
        if let wanted = reader.yesOrNo("alpn-strict") { tls.requiresKnownProtocol = wanted }
        if let size = reader.size("rekey-bytes") { tls.rekeyBytes = size }
        readKTLS(&reader)
        ticketKeysFile = reader.one("ticket-keys", write: "a file", text)
        ticketSecretFile = reader.one("ticket-secret-file", write: "a file", text)
        if ticketKeysFile != nil, ticketSecretFile != nil {
            reader.report("ticket-secret-file", "there is --ticket-keys as well", "use one of them")
        }
        if let interval = reader.duration("ticket-rotation") {
            ticketRotation = interval
            if interval < .seconds(60) { reader.report("ticket-rotation", "too short", "write a minute or more, such as 12h") }
        }
    }

    private mutating func readKTLS(_ reader: inout SettingsReader) {
        if let choice = reader.choice("ktls", KTLS.self) { ktls = choice }
        guard ktls != .off else { return }
        ktlsAbsence = KernelTLS.absence()
        tls.usesKernel = ktlsAbsence == nil
        guard ktls == .on, let absence = ktlsAbsence else { return }
        reader.report(
            "ktls", "this kernel does not encrypt for sockets (\(absence))",
            "load its module with modprobe tls, or choose a kernel that has it, or --ktls auto")
    }

    private mutating func readData(_ reader: inout SettingsReader) {
        let ports = reader.one("passive-ports", write: "MIN-MAX such as 50000-50999, one PORT, or 0:N") {
            GatewayConfiguration.PassivePorts($0)
        }
        if let ports { passivePorts = ports }
        let address = reader.one(
            "passive-address",
            write: "auto, an IPv4 address, a name or interface:NAME, then CIDR=ADDRESS for some clients, with commas between them"
        ) { GatewayConfiguration.PassiveAddress($0) }
        if let address { passiveAddress = address }
        readPortTranslation(&reader)
        if let rule = readByClient("data-session", GatewayConfiguration.DataSession.self, &reader) {
            (dataSession, dataSessionExceptions) = (rule.choice, rule.exceptions)
        }
        if let choice = reader.choice("verify-before-store", SessionPolicy.VerifyBeforeStore.self) {
            session.verifyBeforeStore = choice
        }
        let eof = reader.one("upload-eof", write: "strict, lenient, or lenient:CIDR with commas between several") {
            SessionPolicy.UploadEOF($0)
        }
        if let eof { session.uploadEOF = eof }
        let source = reader.one("active-source-port", write: "any, a port, or MIN-MAX") {
            GatewayConfiguration.ActiveSourcePort($0)
        }
        if let source { activeSourcePort = source }
    }

    /// A choice with others for some clients; the ports among these must be listened on.
    private func readByClient<Choice: RawRepresentable & CaseIterable & Sendable & Equatable>(
        _ name: String, _: Choice.Type, _ reader: inout SettingsReader
    ) -> ChoiceByClient<Choice>? where Choice.RawValue == String {
        guard let rule = reader.one(name, write: ChoiceByClient<Choice>.expected, { ChoiceByClient<Choice>($0) }) else {
            return nil
        }
        for case .listener(let port) in rule.exceptions.map(\.scope) where !listeners.contains(where: { $0.port == port }) {
            // The service manager knows which ports it hands over.
            if listeners.contains(where: { $0.socketName != nil }) { continue }
            reader.report(name, "no listener has port \(port)", "name a port of --listen or --listen-implicit")
        }
        return rule
    }

    /// The ports that clients are told must be ports, and somebody must have said which ports there are.
    private mutating func readPortTranslation(_ reader: inout SettingsReader) {
        if let offset = reader.number("passive-port-offset", in: -65_535...65_535) { passivePortOffset = offset }
        let map = reader.one("passive-port-map", write: "PORT=PORT or MIN-MAX=MIN-MAX, our ports first, with commas between them")
        {
            PortMap($0)
        }
        if let map { passivePortMap = map }
        guard case .range(let range) = passivePorts else {
            for name in ["passive-port-offset", "passive-port-map"] where reader.has(name) {
                reader.report(
                    name, "the kernel chooses the passive ports", "name them, such as --passive-ports 50000-50099, or one port")
            }
            return
        }
        if !(1...65_535).contains(Int(range.lower) + passivePortOffset) || Int(range.upper) + passivePortOffset > 65_535 {
            reader.report(
                "passive-port-offset", "some ports of --passive-ports (\(range)) would become no ports",
                "choose a smaller number, or other ports")
        }
        for ours in passivePortMap.ports where ours.lower < range.lower || ours.upper > range.upper {
            reader.report(
                "passive-port-map", "\(ours) is not within --passive-ports (\(range))",
                "write the ports that ftpsgate listens on first")
        }
    }

    private mutating func readAccess(_ reader: inout SettingsReader) {
        allowFrom = reader.list("allow-from", write: Self.network, separatedByCommas: true) { CIDRBlock($0) }
        denyFrom = reader.list("deny-from", write: Self.network, separatedByCommas: true) { CIDRBlock($0) }
        session.allowedUsers = reader.items("allow-user")
        session.deniedUsers = reader.items("deny-user")
        if let access = reader.choice("access", SessionPolicy.Access.self) { session.access = access }
        let expected = "verbs such as DELE or SITE=CHMOD*, with commas between them"
        session.allowedCommands = reader.list("allow-command", write: expected, separatedByCommas: true) { .init($0) }
        session.deniedCommands = reader.list("deny-command", write: expected, separatedByCommas: true) { .init($0) }
    }

    private mutating func readLimits(_ reader: inout SettingsReader) {
        if let number = reader.number("max-sessions", in: 0...Self.largeNumber) { maxSessions = number }
        if let number = reader.number("max-sessions-per-address", in: 0...Self.largeNumber) { maxSessionsPerAddress = number }
        if let number = reader.number("max-handshake-rate", in: 0...Self.largeNumber) { maxHandshakeRate = number }
        if let number = reader.number("max-login-attempts", in: 0...Self.largeNumber) { session.maxLoginAttempts = number }
        readSizes(&reader)
        if let limit = reader.duration("idle-timeout") { timeouts.idle = limit }
        if let limit = reader.duration("login-timeout") { timeouts.login = limit }
        if let limit = reader.duration("handshake-timeout") { timeouts.handshake = limit }
        if let limit = reader.duration("data-timeout") { timeouts.data = limit }
        if let limit = reader.duration("connect-timeout") {
            timeouts.connect = limit
            if limit == .zero { reader.report("connect-timeout", "an attempt needs an end", "write a duration such as 5s") }
        }
        if let limit = reader.duration("reply-timeout") { timeouts.reply = limit }
        if let limit = reader.duration("drain-timeout") { timeouts.drain = limit }
        if let delay = reader.duration("drain-delay") { timeouts.drainDelay = delay }
        if timeouts.drain > .zero, timeouts.drainDelay >= timeouts.drain {
            reader.report("drain-delay", "it is part of --drain-timeout", "choose a shorter one, or a longer --drain-timeout")
        }
    }

    private mutating func readSizes(_ reader: inout SettingsReader) {
        let mebibyte = 1024 * 1024
        if let size = reader.size("max-command-line", in: 128...mebibyte) { session.limits.commandLine = size }
        if let size = reader.size("max-user-length", in: 1...8192) { session.limits.user = size }
        if let size = reader.size("max-password-length", in: 1...8192) { session.limits.password = size }
        if let size = reader.size("max-path-length", in: 0...mebibyte) { session.limits.path = size }
        if let size = reader.size("max-reply-line", in: 512...(16 * mebibyte)) { session.limits.reply.lineBytes = size }
        if let size = reader.size("max-reply-bytes", in: 512...(256 * mebibyte)) { session.limits.reply.replyBytes = size }
        if let count = reader.number("max-reply-lines", in: 1...10_000_000) { session.limits.reply.lines = count }
        if session.limits.reply.replyBytes < session.limits.reply.lineBytes {
            reader.report(
                reader.has("max-reply-bytes") ? "max-reply-bytes" : "max-reply-line",
                "a line may be longer (\(session.limits.reply.lineBytes)) than the reply that it is part of "
                    + "(\(session.limits.reply.replyBytes))", "let --max-reply-bytes be no smaller than --max-reply-line")
        }
    }

    private mutating func readOperation(_ reader: inout SettingsReader) {
        let count = reader.one("workers", write: "auto or a number from 1 to 256") { text in
            text == "auto" ? Processors.available : Int(text).flatMap { (1...256).contains($0) ? $0 : nil }
        }
        workers = min(256, count ?? Processors.available)
        let address = reader.one("admin", write: "off, PORT, HOST:PORT with a numeric host, or unix:PATH") { AdminAddress($0) }
        admin = address?.address
        user = reader.one("user", write: "a user of this machine other than root, or USER:GROUP") { Privileges.account($0) }
        stateDirectory = reader.one("state-directory", write: "a folder") { $0.isEmpty ? nil : $0 }
        if let wanted = reader.yesOrNo("watch") { watchesFiles = wanted }
        if let interval = reader.duration("reload-interval") { reloadInterval = interval }
        if let level = reader.choice("log-level", EventLog.Level.self) { logLevel = level }
        if let format = reader.choice("log-format", EventLog.Format.self) { logFormat = format }
    }

    /// What no setting can be blamed for alone.
    private func judgeTogether(_ reader: inout SettingsReader) {
        for listener in listeners where listener.port != 0 {
            let name = listener.mode == .explicit ? "listen" : "listen-implicit"
            if case .range(let range) = passivePorts, range.contains(listener.port) {
                reader.report(
                    reader.has("passive-ports") ? "passive-ports" : name, "port \(listener.port) is a control port as well",
                    "choose a range without it")
            }
            let twins = listeners.filter {
                $0.port == listener.port && ($0.host == listener.host || $0.host == nil || listener.host == nil)
            }
            if twins.count > 1, twins.first == listener {
                reader.report(name, "port \(listener.port) is listened on twice", "give each listener a port of its own")
            }
        }
    }

    /// Files and folders whose contents count, besides those of the identities.
    var files: [String] {
        tls.allClientCertificates.flatMap(\.files)
            + [ticketKeysFile, ticketSecretFile, clientCertificateLogin, keyPassphrases.file].compactMap { $0 }
    }

    /// With the certificates read.
    func configuration(_ context: TLSContext) -> GatewayConfiguration {
        var configuration = GatewayConfiguration(listeners: listeners, backends: backends, tls: context)
        configuration.fetchesStaples = fetchesStaples
        configuration.usesKernelTLS = tls.usesKernel
        configuration.session = session
        configuration.certificateUsers = certificateUsers
        configuration.passivePorts = passivePorts
        configuration.passiveAddress = passiveAddress
        configuration.passivePortOffset = passivePortOffset
        configuration.passivePortMap = passivePortMap
        configuration.dataSession = dataSession
        configuration.dataSessionExceptions = dataSessionExceptions
        configuration.controlTLSExceptions = controlTLSExceptions
        configuration.dataTLSExceptions = dataTLSExceptions
        configuration.backendSource = backendSource
        configuration.activeSourcePort = activeSourcePort
        configuration.autodetect = autodetect
        configuration.allowFrom = allowFrom
        configuration.denyFrom = denyFrom
        configuration.timeouts = timeouts
        configuration.maxSessions = maxSessions
        configuration.maxSessionsPerAddress = maxSessionsPerAddress
        configuration.maxHandshakeRate = maxHandshakeRate
        configuration.workers = workers
        return configuration
    }
}
