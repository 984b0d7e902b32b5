/// Turns bytes into lines, each byte looked at once, however they arrive.
///
/// A line ends at LF; one CR before it belongs to the end. A line over the limit is dropped whole, and reported once.
public struct LineFramer: Sendable {
    public enum Line: Equatable, Sendable {
        /// Without its end.
        case line([UInt8])
        case tooLong
    }

    /// Bytes that a line may have without its end.
    public var limit: Int

    private var buffer: [UInt8] = []
    /// Where the first unfinished line begins.
    private var start = 0
    /// Before here there is no LF that was not returned.
    private var searched = 0
    private var isDropping = false

    public init(limit: Int) { self.limit = limit }

    public mutating func append(contentsOf bytes: [UInt8]) {
        if start > 0, start == buffer.count || start > 4096 {
            buffer.removeFirst(start)
            searched -= start
            start = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// The next whole line; nil when there is none yet.
    public mutating func next() -> Line? {
        while true {
            guard let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) else {
                searched = buffer.count
                // A line that never ends must not grow for ever: what came of it goes.
                if !isDropping, searched - start > limit + 1 { isDropping = true }
                if isDropping {
                    buffer = []
                    start = 0
                    searched = 0
                }
                return nil
            }
            var line = buffer[start..<end]
            start = end + 1
            searched = start
            if isDropping {
                isDropping = false
                return .tooLong
            }
            if line.last == UInt8(ascii: "\r") { line = line.dropLast() }
            return line.count > limit ? .tooLong : .line(Array(line))
        }
    }

    /// Bytes received and not yet returned as lines.
    public var pendingCount: Int { isDropping ? 1 : buffer.count - start }
}
