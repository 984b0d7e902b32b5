import Admin
import FTPProtocol
import FTPSession
import Gateway
import Wire

// What stands behind the flags, from text to value. Nil means that the text is none.

extension GatewayConfiguration.Listener {
    /// "21", ":21", "192.0.2.1:21", "[::1]:21", "systemd:ftp".
    init?(_ text: String, mode: Mode) {
        if text.hasPrefix(ActivatedListeners.prefix) {
            let name = String(text.dropFirst(ActivatedListeners.prefix.count))
            guard (1...255).contains(name.utf8.count), !name.contains(":") else { return nil }
            self.init(mode: mode, host: nil, port: 0, socketName: name)
            return
        }
        guard let (host, port) = splitHostAndPort(text, bareIsPort: true), let port else { return nil }
        switch host {
        case "", "*": self.init(mode: mode, host: nil, port: port)
        case "localhost": self.init(mode: mode, host: IPAddress(127, 0, 0, 1), port: port)
        default:
            guard let ip = IPAddress(host) else { return nil }
            self.init(mode: mode, host: ip, port: port)
        }
    }
}

extension GatewayConfiguration.Backend {
    /// "ftp.internal", "ftp.internal:2121", "192.0.2.1", "[2001:db8::1]:21".
    init?(_ text: String) {
        if let ip = IPAddress(text) {
            self.init(host: "\(ip)")
            return
        }
        guard let (host, port) = splitHostAndPort(text, bareIsPort: false), !host.isEmpty, port != 0 else { return nil }
        guard host.utf8.allSatisfy({ (33...126).contains($0) && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ",") }) else {
            return nil
        }
        self.init(host: host, port: port ?? 21)
    }
}

/// - Parameter bareIsPort: what a text without a colon is.
/// - Returns: the host without its brackets, and the port where there is one.
func splitHostAndPort(_ text: String, bareIsPort: Bool) -> (host: String, port: UInt16?)? {
    if text.hasPrefix("[") {
        guard let end = text.firstIndex(of: "]"), let ip = IPAddress(String(text[text.index(after: text.startIndex)..<end])),
            ip.family == .v6
        else { return nil }
        let rest = text[text.index(after: end)...]
        if rest.isEmpty { return bareIsPort ? nil : ("\(ip)", nil) }
        guard rest.first == ":", let port = portNumber(rest.dropFirst()) else { return nil }
        return ("\(ip)", port)
    }
    guard let colon = text.lastIndex(of: ":") else {
        guard bareIsPort else { return (text, nil) }
        return portNumber(text[...]).map { ("", $0) }
    }
    // More than one colon without brackets is an IPv6 address that nobody can tell from its port.
    guard text.firstIndex(of: ":") == colon, let port = portNumber(text[text.index(after: colon)...]) else { return nil }
    return (String(text[..<colon]), port)
}

/// One to five digits, 0 to 65535.
func portNumber(_ text: Substring) -> UInt16? {
    guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
    return UInt16(text)
}

extension GatewayConfiguration.PassivePorts {
    /// "50000-50999", "50000", "0:10", "0".
    init?(_ text: String) {
        if text == "0" || text.hasPrefix("0:") {
            let count = text == "0" ? 1 : Int(text.dropFirst(2))
            guard let count, (1...20_000).contains(count) else { return nil }
            self = .chosenByKernel(count: count)
        } else {
            guard let range = PortRange(text) else { return nil }
            self = .range(range)
        }
    }
}

extension GatewayConfiguration.PassiveAddress {
    /// "auto", "203.0.113.5", "ftp.example.com", "interface:eth0", and then ",10.0.0.0/8=10.0.0.5" as often as needed.
    init?(_ text: String) {
        var source = Source.automatic
        var exceptions: [Exception] = []
        for (index, part) in text.split(separator: ",", omittingEmptySubsequences: false).enumerated() {
            if let equals = part.firstIndex(of: "=") {
                guard let network = CIDRBlock(String(part[..<equals])),
                    let address = IPAddress(String(part[part.index(after: equals)...])),
                    address.family == .v4
                else { return nil }
                exceptions.append(Exception(network: network, address: address))
            } else {
                guard index == 0, let only = Source(String(part)) else { return nil }
                source = only
            }
        }
        self.init(source: source, exceptions: exceptions)
    }
}

extension GatewayConfiguration.PassiveAddress.Source {
    init?(_ text: String) {
        if text == "auto" {
            self = .automatic
        } else if text.hasPrefix("interface:") {
            let name = String(text.dropFirst("interface:".count))
            guard (1...15).contains(name.utf8.count) else { return nil }
            self = .interface(name)
        } else if let ip = IPAddress(text) {
            guard ip.family == .v4 else { return nil }
            self = .fixed(ip)
        } else {
            guard isHostName(text) else { return nil }
            self = .name(text)
        }
    }
}

/// A choice, and others for some clients: "require", and then ",10.0.0.0/8=off" or ",990=prefer" as often as needed.
struct ChoiceByClient<Choice: RawRepresentable & CaseIterable & Sendable & Equatable> where Choice.RawValue == String {
    let choice: Choice
    let exceptions: [GatewayConfiguration.Exception<Choice>]

    init?(_ text: String) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard let first = parts.first, let choice = Choice(rawValue: String(first)) else { return nil }
        self.choice = choice
        var exceptions: [GatewayConfiguration.Exception<Choice>] = []
        for part in parts.dropFirst() {
            let sides = part.split(separator: "=", omittingEmptySubsequences: false)
            guard sides.count == 2, let choice = Choice(rawValue: String(sides[1])) else { return nil }
            if let port = portNumber(sides[0]) {
                exceptions.append(.init(.listener(port: port), choice))
            } else if let network = CIDRBlock(String(sides[0])) {
                exceptions.append(.init(.network(network), choice))
            } else {
                return nil
            }
        }
        self.exceptions = exceptions
    }

    static var expected: String {
        "one of \(Choice.allCases.map(\.rawValue).joined(separator: ", ")), then CIDR=CHOICE or PORT=CHOICE for some clients, with commas between them"
    }
}

/// Letters, digits, hyphens and dots; not digits alone, which would be a mistyped address.
func isHostName(_ text: String) -> Bool {
    let labels = text.split(separator: ".", omittingEmptySubsequences: false)
    guard text.utf8.count <= 253, labels.last?.utf8.allSatisfy({ (48...57).contains($0) }) == false else { return false }
    return labels.allSatisfy { label in
        (1...63).contains(label.utf8.count) && label.first != "-"
            && label.utf8.allSatisfy { byte in
                (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 45 || byte == 95
            }
    }
}

extension SessionPolicy.UploadEOF {
    /// "strict", "lenient", "lenient:10.0.0.0/8,192.168.0.0/16".
    init?(_ text: String) {
        if text == "strict" {
            self = .strict
        } else if text == "lenient" {
            self = .lenient([])
        } else {
            guard text.hasPrefix("lenient:"), let networks = networkList(text.dropFirst("lenient:".count)) else { return nil }
            self = .lenient(networks)
        }
    }
}

extension SessionPolicy.BackendPASVAddress {
    /// "control", "any", "10.0.0.0/8,192.168.1.7".
    init?(_ text: String) {
        switch text {
        case "control": self = .control
        case "any": self = .any
        default:
            guard let networks = networkList(text[...]) else { return nil }
            self = .networks(networks)
        }
    }
}

/// One network or more, with commas between them.
func networkList(_ text: Substring) -> [CIDRBlock]? {
    let networks = text.split(separator: ",", omittingEmptySubsequences: false).map { CIDRBlock(String($0)) }
    guard !networks.isEmpty, networks.allSatisfy({ $0 != nil }) else { return nil }
    return networks.compactMap { $0 }
}

extension SessionPolicy.CommandPattern {
    /// "DELE", "SITE=CHMOD*".
    init?(_ text: String) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard let verb = parts.first, (1...16).contains(verb.utf8.count), verb.utf8.allSatisfy({ (33...126).contains($0) }) else {
            return nil
        }
        self.init(verb: Command.Verb(String(verb)), argument: parts.count == 2 ? String(parts[1]) : nil)
    }
}

extension GatewayConfiguration.ActiveSourcePort {
    /// "any", "20", "40000-40999".
    init?(_ text: String) {
        if text == "any" {
            self = .any
        } else {
            guard let range = PortRange(text) else { return nil }
            self = .range(range)
        }
    }
}

/// "off", "9090" (on loopback), "0.0.0.0:9090", "unix:/run/ftpsgate/admin.sock".
struct AdminAddress: Equatable {
    let address: AdminServer.Address?

    init?(_ text: String) {
        if text == "off" {
            address = nil
        } else if text.hasPrefix("unix:") {
            let path = text.dropFirst("unix:".count)
            // The kernel keeps 108 bytes with the end.
            guard (1...107).contains(path.utf8.count) else { return nil }
            address = .unix(path: String(path))
        } else {
            guard let listener = GatewayConfiguration.Listener(text, mode: .explicit) else { return nil }
            let isPortAlone = portNumber(text[...]) != nil
            address = .tcp(
                SocketAddress(ip: isPortAlone ? IPAddress(127, 0, 0, 1) : listener.host ?? .anyV6, port: listener.port))
        }
    }
}

/// `--ktls`.
enum KTLS: String, CaseIterable {
    /// Where the kernel can.
    case auto
    case on
    case off
}
