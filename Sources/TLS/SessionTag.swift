/// Names a control connection inside the TLS tickets that it issues, so that a data connection that resumes with one shows
/// whose it is.
public struct SessionTag: Hashable, Sendable {
    private let high: UInt64
    private let low: UInt64

    static let count = 16

    /// - Returns: nil unless there are 16 bytes.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == Self.count else { return nil }
        func number(_ bytes: some Collection<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        high = number(bytes.prefix(8))
        low = number(bytes.dropFirst(8))
    }

    private init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }

    /// From the system's generator, which nobody can guess.
    public static func random() -> SessionTag {
        SessionTag(high: .random(in: 0 ... .max), low: .random(in: 0 ... .max))
    }

    /// 16 bytes.
    public var bytes: [UInt8] {
        [high, low].flatMap { number in stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> $0) } }
    }
}
