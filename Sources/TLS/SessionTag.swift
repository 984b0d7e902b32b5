/// Names a control connection inside the TLS tickets that it issues, so that a data connection that resumes with one shows
/// whose it is.
public struct SessionTag: Hashable, Sendable {
    /// 16 bytes.
    public let bytes: [UInt8]

    static let count = 16

    /// - Returns: nil unless there are 16 bytes.
    public init?(bytes: [UInt8]) {
        guard bytes.count == Self.count else { return nil }
        self.bytes = bytes
    }

    /// From the system's generator, which nobody can guess.
    public static func random() -> SessionTag {
        SessionTag(bytes: (0..<count).map { _ in UInt8.random(in: 0...255) })!
    }
}
