/// An IPv4 or IPv6 address.
public struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    public enum Family: Hashable, Sendable { case v4, v6 }

    /// In network order: 4 or 16 bytes.
    public let octets: [UInt8]

    public var family: Family { octets.count == 4 ? .v4 : .v6 }

    public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) { octets = [a, b, c, d] }

    /// - Returns: nil unless there are 4 or 16.
    public init?(octets: [UInt8]) {
        guard octets.count == 4 || octets.count == 16 else { return nil }
        self.octets = octets
    }

    /// Reads dotted quads without leading zeros, and RFC 4291's texts for IPv6 with or without a dotted tail. No brackets, no
    /// scope.
    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard let octets = bytes.contains(UInt8(ascii: ":")) ? Self.parseV6(bytes[...]) : Self.parseV4(bytes[...]) else {
            return nil
        }
        self.octets = octets
    }

    public static let anyV4 = IPAddress(0, 0, 0, 0)
    public static let anyV6 = IPAddress(octets: [UInt8](repeating: 0, count: 16))!

    /// The IPv4 address inside `::ffff:a.b.c.d`; any other address as it is.
    public var unmapped: IPAddress {
        guard family == .v6, octets[..<10].allSatisfy({ $0 == 0 }), octets[10] == 255, octets[11] == 255 else { return self }
        return IPAddress(octets[12], octets[13], octets[14], octets[15])
    }

    public var isUnspecified: Bool { octets.allSatisfy { $0 == 0 } }

    public var isLoopback: Bool {
        family == .v4 ? octets[0] == 127 : octets[..<15].allSatisfy { $0 == 0 } && octets[15] == 1
    }

    public var isLinkLocal: Bool {
        family == .v4 ? octets[0] == 169 && octets[1] == 254 : octets[0] == 0xfe && octets[1] & 0xc0 == 0x80
    }

    public var isMulticast: Bool { family == .v4 ? octets[0] & 0xf0 == 0xe0 : octets[0] == 0xff }

    /// RFC 1918 and RFC 4193: not reachable from the Internet.
    public var isPrivate: Bool {
        guard family == .v4 else { return octets[0] & 0xfe == 0xfc }
        return octets[0] == 10 || (octets[0] == 172 && octets[1] & 0xf0 == 16) || (octets[0] == 192 && octets[1] == 168)
    }

    /// As RFC 5952 writes it.
    public var description: String {
        guard family == .v6 else { return octets.map { String($0) }.joined(separator: ".") }
        if unmapped != self { return "::ffff:\(unmapped)" }
        let groups = stride(from: 0, to: 16, by: 2).map { Int(octets[$0]) << 8 | Int(octets[$0 + 1]) }
        let zeros = Self.longestRunOfZeros(groups)
        let head = groups[..<zeros.lowerBound].map { String($0, radix: 16) }.joined(separator: ":")
        let tail = groups[zeros.upperBound...].map { String($0, radix: 16) }.joined(separator: ":")
        return zeros.isEmpty ? head + tail : head + "::" + tail
    }

    /// A single zero group is not shortened; of equal runs the first is (RFC 5952 section 4.2). Empty at the end when none.
    private static func longestRunOfZeros(_ groups: [Int]) -> Range<Int> {
        var best = groups.count..<groups.count
        var start = 0
        while start < groups.count {
            var end = start
            while end < groups.count, groups[end] == 0 { end += 1 }
            if end - start > max(1, best.count) { best = start..<end }
            start = end + 1
        }
        return best
    }

    private static func parseV4(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var octets: [UInt8] = []
        for part in parts {
            guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0") else { return nil }
            guard let value = number(part, radix: 10), let octet = UInt8(exactly: value) else { return nil }
            octets.append(octet)
        }
        return octets
    }

    private static func parseV6(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        let colon = UInt8(ascii: ":")
        guard let gap = firstDoubleColon(text) else {
            guard let octets = groups(text, mayEndInQuad: true), octets.count == 16 else { return nil }
            return octets
        }
        let before = text[..<gap]
        let after = text[(gap + 2)...]
        guard firstDoubleColon(after) == nil, after.first != colon else { return nil }
        guard let head = before.isEmpty ? [] : groups(before, mayEndInQuad: false),
            let tail = after.isEmpty ? [] : groups(after, mayEndInQuad: true)
        else { return nil }
        guard head.count + tail.count <= 14 else { return nil }
        return head + [UInt8](repeating: 0, count: 16 - head.count - tail.count) + tail
    }

    private static func firstDoubleColon(_ text: ArraySlice<UInt8>) -> Int? {
        text.indices.dropLast().first { text[$0] == UInt8(ascii: ":") && text[$0 + 1] == UInt8(ascii: ":") }
    }

    /// Hexadecimal groups; the last of an address may be a dotted quad.
    private static func groups(_ text: ArraySlice<UInt8>, mayEndInQuad: Bool) -> [UInt8]? {
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        var octets: [UInt8] = []
        for (index, part) in parts.enumerated() {
            if part.contains(UInt8(ascii: ".")) {
                guard mayEndInQuad, index == parts.count - 1, let quad = parseV4(part) else { return nil }
                octets += quad
            } else {
                guard (1...4).contains(part.count), let value = number(part, radix: 16) else { return nil }
                octets += [UInt8(value >> 8), UInt8(value & 255)]
            }
        }
        return octets
    }

    /// Digits alone: no sign, no blank.
    private static func number(_ text: ArraySlice<UInt8>, radix: Int) -> Int? {
        guard text.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }) else { return nil }
        return Int(String(decoding: text, as: UTF8.self), radix: radix)
    }
}
