/// Ports from `lower` to `upper`, both included.
public struct PortRange: Hashable, Sendable, CustomStringConvertible {
    public let lower: UInt16
    public let upper: UInt16

    /// - Returns: nil when the range is empty or holds port 0.
    public init?(lower: UInt16, upper: UInt16) {
        guard lower >= 1, lower <= upper else { return nil }
        self.lower = lower
        self.upper = upper
    }

    /// Reads "50000-50999" and "50000".
    public init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard let first = parts.first, let last = parts.last, parts.count <= 2 else { return nil }
        guard let lower = Self.port(first), let upper = Self.port(last) else { return nil }
        self.init(lower: lower, upper: upper)
    }

    public var count: Int { Int(upper) - Int(lower) + 1 }

    public func contains(_ port: UInt16) -> Bool { (lower...upper).contains(port) }

    public func overlaps(_ other: PortRange) -> Bool { lower <= other.upper && other.lower <= upper }

    public var description: String { lower == upper ? "\(lower)" : "\(lower)-\(upper)" }

    /// One to five digits, at most 65535.
    static func port(_ text: Substring) -> UInt16? {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return UInt16(text)
    }
}
