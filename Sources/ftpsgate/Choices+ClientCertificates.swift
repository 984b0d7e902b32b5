import FTPSession
import Gateway
import PKI
import System
import TLS
import Wire

/// Everything about clients' certificates, from text to value.
extension Choices {
    mutating func readClientCertificates(_ reader: inout SettingsReader) {
        let path: (String) -> String? = { $0.isEmpty ? nil : $0 }
        var rules = TLSPolicy.ClientCertificates()
        let demand = reader.choice("client-cert", TLSPolicy.ClientCertificates.Demand.self)
        if let demand { rules.demand = demand }
        rules.authorities = reader.one("client-ca", write: "a file or a folder", path)
        if let depth = reader.number("client-cert-depth", in: 0...20) { rules.depth = depth }
        rules.revocationLists = reader.one("client-crl", write: "a file or a folder", path)
        if rules.revocationLists != nil { rules.revocationCheck = .soft }
        if let check = reader.choice("client-crl-check", RevocationCheck.self) { rules.revocationCheck = check }
        if let check = reader.choice("client-ocsp", RevocationCheck.self) { rules.statusCheck = check }
        rules.allowed = reader.list("client-cert-allow", write: Self.certificateRule) { CertificateRule($0) }
        rules.denied = reader.list("client-cert-deny", write: Self.certificateRule) { CertificateRule($0) }
        if let wanted = reader.yesOrNo("client-ca-names") { rules.namesAuthorities = wanted }
        tls.clientCertificates = rules
        readExceptions(&reader, from: rules)

        let isMistyped = demand == nil && reader.has("client-cert")
        let isOff = !isMistyped && tls.allClientCertificates.allSatisfy { $0.demand == .off }
        for name in Self.dependentFlags where isOff {
            if reader.has(name) { reader.report(name, "no client is asked for a certificate", "add --client-cert require") }
        }
        if rules.revocationCheck == .hard, rules.revocationLists == nil {
            reader.report("client-crl-check", "there is no list, so nobody could log in", "name the lists with --client-crl")
        }
        certificateUsers = reader.list(
            "client-cert-user", write: "cn, email, dns, uri or upn, or a pattern such as email=*@example.com"
        ) { CertificateUserRule($0) }
        clientCertificateLogin = reader.one("client-cert-login", write: "a file", path)
        if clientCertificateLogin != nil, certificateUsers.isEmpty, !reader.has("client-cert-user") {
            certificateUsers = [CertificateUserRule(field: .cn)]
        }
        keyPassphrases = Passphrases(
            file: reader.one("key-passphrase-file", write: "a file", path),
            variable: reader.one("key-passphrase-env", write: "a variable's name", path),
            descriptor: reader.number("key-passphrase-fd", in: 0...65_535).map { Int32($0) },
            command: reader.one("key-passphrase-command", write: "a command", path))
    }

    private static let dependentFlags = [
        "client-ca", "client-crl", "client-crl-check", "client-cert-user", "client-cert-login", "client-cert-allow",
        "client-cert-deny", "client-ocsp",
    ]

    static let certificateRule =
        "\(CertificateRule.Field.allCases.map(\.rawValue).joined(separator: ", ")), then = and a pattern, such as ou=Printers or serial=0A:1B"

    private mutating func readExceptions(_ reader: inout SettingsReader, from rules: TLSPolicy.ClientCertificates) {
        let exceptions = reader.list(
            "client-cert-for",
            write:
                "PORT or NAME, then =off, =request or =require, and ,ca=PATH, ,crl=PATH, ,ocsp=CHOICE, ,allow=RULE or ,deny=RULE behind it"
        ) { ClientCertificateException($0, from: rules) }
        for exception in exceptions {
            switch exception.whom {
            case .port(let port):
                tls.clientCertificatesByPort[port] = exception.rules
                // 0 is whatever port the kernel chooses, which nobody can name here.
                if !listeners.contains(where: { $0.port == port }) {
                    reader.report(
                        "client-cert-for", "no listener has port \(port)", "name a port of --listen or --listen-implicit")
                }
            case .name(let name): tls.clientCertificatesByName[name] = exception.rules
            }
        }
    }

    /// Where no authorities are named, those of the database are trusted.
    mutating func useTrustedAuthorities(of environment: [String: String], makesFiles: Bool) {
        func filled(_ rules: TLSPolicy.ClientCertificates) -> TLSPolicy.ClientCertificates {
            guard rules.demand != .off, rules.authorities == nil else { return rules }
            var rules = rules
            rules.authorities = StateDirectory.trusted(stateDirectory, environment: environment, makesFiles: makesFiles)
            return rules
        }
        tls.clientCertificates = filled(tls.clientCertificates)
        tls.clientCertificatesByPort = tls.clientCertificatesByPort.mapValues(filled)
        tls.clientCertificatesByName = tls.clientCertificatesByName.mapValues(filled)
    }

    /// Reads the file of `--client-cert-login`.
    mutating func readCertificateLogins(_ reader: inout SettingsReader) {
        guard let file = clientCertificateLogin else { return }
        guard !PrivateKey.isReadableByEveryone(file) else {
            return reader.report("client-cert-login", "everyone on this machine can read it", "protect it: chmod 600 \(file)")
        }
        switch TextFile.read(file) {
        case .failure(let failure):
            reader.report("client-cert-login", "it cannot be read (\(failure))", "name a file of lines USER PASSWORD")
        case .success(let text):
            for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
                if line.isEmpty || line.hasPrefix("#") { continue }
                // The first blank ends the name; the password is all that follows, blanks included.
                let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
                guard parts.count == 2, !parts[0].isEmpty, !parts[1].utf8.contains(where: { $0 < 32 }) else {
                    reader.report("client-cert-login", "line \(index + 1) is not USER PASSWORD", "mend the line", value: file)
                    continue
                }
                session.certificateLogins[String(parts[0])] = Secret(Array(parts[1].utf8))
            }
        }
    }
}

/// "990=require", "partner.example.com=require,ca=FILE,crl=FILE".
struct ClientCertificateException {
    enum Whom: Equatable {
        case port(UInt16)
        case name(String)
    }

    let whom: Whom
    let rules: TLSPolicy.ClientCertificates

    /// - Parameter rules: what holds where the text says nothing else.
    init?(_ text: String, from rules: TLSPolicy.ClientCertificates) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map { part in
            part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        }
        guard let first = parts.first, first.count == 2, let demand = TLSPolicy.ClientCertificates.Demand(rawValue: first[1])
        else {
            return nil
        }
        if let port = portNumber(first[0][...]) {
            whom = .port(port)
        } else {
            guard isHostName(first[0]) else { return nil }
            whom = .name(first[0].lowercased())
        }
        var rules = rules
        rules.demand = demand
        var (allowed, denied): ([CertificateRule], [CertificateRule]) = ([], [])
        for option in parts.dropFirst() {
            guard option.count == 2, !option[1].isEmpty else { return nil }
            switch option[0] {
            case "ca": rules.authorities = option[1]
            case "crl":
                rules.revocationLists = option[1]
                if rules.revocationCheck == .off { rules.revocationCheck = .soft }
            case "ocsp":
                guard let check = RevocationCheck(rawValue: option[1]) else { return nil }
                rules.statusCheck = check
            case "allow", "deny":
                guard let rule = CertificateRule(option[1]) else { return nil }
                if option[0] == "allow" { allowed.append(rule) } else { denied.append(rule) }
            default: return nil
            }
        }
        if !allowed.isEmpty { rules.allowed = allowed }
        if !denied.isEmpty { rules.denied = denied }
        self.rules = rules
    }
}

extension CertificateUserRule {
    /// "cn", "email=*@example.com".
    init?(_ text: String) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let name = parts.first, let field = Field(rawValue: name) else { return nil }
        guard parts.count == 2 else {
            self.init(field: field)
            return
        }
        let around = parts[1].split(separator: "*", omittingEmptySubsequences: false).map(String.init)
        guard around.count == 2 else { return nil }
        self.init(field: field, surroundings: Surroundings(before: around[0], after: around[1]))
    }
}
