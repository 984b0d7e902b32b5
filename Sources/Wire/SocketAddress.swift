/// An address and a port.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    public var ip: IPAddress
    public var port: UInt16
    /// The interface's number, where a link-local IPv6 address needs it; else 0.
    public var scope: UInt32

    public init(ip: IPAddress, port: UInt16, scope: UInt32 = 0) {
        self.ip = ip
        self.port = port
        self.scope = scope
    }

    /// Reads "192.0.2.1:21" and "[2001:db8::1]:21".
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = PortRange.port(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard let ip = IPAddress(String(host)) else { return nil }
        self.init(ip: ip, port: port)
    }

    public var description: String { ip.family == .v4 ? "\(ip):\(port)" : "[\(ip)]:\(port)" }
}
