/// A network: an address and how many of its leading bits count.
public struct CIDRBlock: Hashable, Sendable, CustomStringConvertible {
    public let address: IPAddress
    /// 0 to 32, or 0 to 128.
    public let prefixLength: Int

    /// Reads "10.0.0.0/8" and "2001:db8::/32"; an address alone is a network of one. Bits beyond the prefix are dropped, and a
    /// network of mapped addresses ("::ffff:10.0.0.0/104") is one of IPv4.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let first = parts.first, let ip = IPAddress(String(first)), parts.count <= 2 else { return nil }
        let bits = ip.octets.count * 8
        var length = bits
        if parts.count == 2 {
            guard parts[1].utf8.allSatisfy({ (48...57).contains($0) }), let given = Int(parts[1]), given <= bits else {
                return nil
            }
            length = given
        }
        if ip.unmapped != ip, length >= 96 {
            prefixLength = length - 96
            address = IPAddress(octets: Self.masked(ip.unmapped.octets, prefixLength))!
        } else {
            prefixLength = length
            address = IPAddress(octets: Self.masked(ip.octets, length))!
        }
    }

    /// Whether the address lies in this network. Families never mix, but a mapped IPv4 address counts as IPv4.
    public func contains(_ ip: IPAddress) -> Bool {
        let ip = address.family == .v4 ? ip.unmapped : ip
        guard ip.family == address.family else { return false }
        return Self.masked(ip.octets, prefixLength) == address.octets
    }

    public var description: String { "\(address)/\(prefixLength)" }

    private static func masked(_ octets: [UInt8], _ length: Int) -> [UInt8] {
        octets.enumerated().map { index, octet in
            let kept = min(8, max(0, length - index * 8))
            return octet & UInt8(truncatingIfNeeded: 0xff00 >> kept)
        }
    }
}
