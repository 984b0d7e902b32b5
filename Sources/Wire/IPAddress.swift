/// An IPv4 or IPv6 address.
public struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    public enum Family: Hashable, Sendable { case v4, v6 }

    public let family: Family
    /// The address as a number of 128 bits, which takes no memory of its own: every connection has two. An IPv4 address stands
    /// in the last 32.
    public let high: UInt64
    public let low: UInt64

    public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
        self.init(v4: UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d))
    }

    /// - Parameter bits: most significant first, as the address is written.
    public init(v4 bits: UInt32) { (family, high, low) = (.v4, 0, UInt64(bits)) }

    public init(v6 high: UInt64, _ low: UInt64) { (family, self.high, self.low) = (.v6, high, low) }

    /// - Returns: nil unless there are 4 or 16.
    public init?(octets: [UInt8]) {
        func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        switch octets.count {
        case 4: (family, high, low) = (.v4, 0, number(octets[...]))
        case 16: (family, high, low) = (.v6, number(octets[..<8]), number(octets[8...]))
        default: return nil
        }
    }

    /// In network order: 4 or 16 bytes.
    public var octets: [UInt8] {
        func bytes(_ number: UInt64, _ count: Int) -> [UInt8] {
            (0..<count).map { UInt8(truncatingIfNeeded: number >> (8 * (count - 1 - $0))) }
        }
        return family == .v4 ? bytes(low, 4) : bytes(high, 8) + bytes(low, 8)
    }

    /// Reads dotted quads without leading zeros, and RFC 4291's texts for IPv6 with or without a dotted tail. No brackets, no
    /// scope.
    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard let octets = bytes.contains(UInt8(ascii: ":")) ? Self.parseV6(bytes[...]) : Self.parseV4(bytes[...]) else {
            return nil
        }
        self.init(octets: octets)
    }

    public static let anyV4 = IPAddress(0, 0, 0, 0)
    public static let anyV6 = IPAddress(v6: 0, 0)

    /// The IPv4 address inside `::ffff:a.b.c.d`; any other address as it is.
    public var unmapped: IPAddress {
        guard family == .v6, high == 0, low >> 32 == 0xffff else { return self }
        return IPAddress(v4: UInt32(truncatingIfNeeded: low))
    }

    public var isUnspecified: Bool { high == 0 && low == 0 }

    public var isLoopback: Bool { family == .v4 ? low >> 24 == 127 : high == 0 && low == 1 }

    public var isLinkLocal: Bool { family == .v4 ? low >> 16 == 0xa9fe : high >> 54 == 0xfe80 >> 6 }

    public var isMulticast: Bool { family == .v4 ? low >> 28 == 0xe : high >> 56 == 0xff }

    /// RFC 1918 and RFC 4193: not reachable from the Internet.
    public var isPrivate: Bool {
        guard family == .v4 else { return high >> 57 == 0xfc >> 1 }
        return low >> 24 == 10 || low >> 20 == 0xac1 || low >> 16 == 0xc0a8
    }

    /// As RFC 5952 writes it.
    public var description: String {
        guard family == .v6 else { return "\(low >> 24).\(low >> 16 & 255).\(low >> 8 & 255).\(low & 255)" }
        if unmapped != self { return "::ffff:\(unmapped)" }
        let groups = [high, low].flatMap { half in [48, 32, 16, 0].map { Int(half >> $0 & 0xffff) } }
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
