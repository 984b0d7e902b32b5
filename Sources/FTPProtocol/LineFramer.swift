/// Turns bytes into lines, each byte looked at once, however they arrive.
///
/// A line ends at LF; one CR before it belongs to the end. A line over the limit is dropped whole, and reported once. Lines that
/// were returned are overwritten in here: one of them was a password.
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
    /// The unfinished line is over the limit: what comes of it until its LF is dropped.
    public private(set) var isDropping = false

    public init(limit: Int) { self.limit = limit }

    public mutating func append(contentsOf bytes: some Collection<UInt8>) {
        if start == buffer.count {
            buffer.removeAll(keepingCapacity: buffer.capacity >= bytes.count)
            start = 0
            searched = 0
        }
        guard buffer.capacity - buffer.count < bytes.count else { return buffer.append(contentsOf: bytes) }
        // Room is made by hand: an array that grows by itself leaves a copy behind.
        var roomier: [UInt8] = []
        roomier.reserveCapacity(2 * (buffer.count - start) + bytes.count)
        roomier += buffer[start...]
        roomier += bytes
        buffer.overwrite(start..<buffer.count)
        buffer = roomier
        searched -= start
        start = 0
    }

    /// The next whole line; nil when there is none yet.
    public mutating func next() -> Line? {
        guard let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) else {
            searched = buffer.count
            // A line that never ends must not grow for ever: what came of it goes.
            if searched - start > limit + 1 { isDropping = true }
            if isDropping || start == searched { clear() }
            return nil
        }
        let hasCR = end > start && buffer[end - 1] == UInt8(ascii: "\r")
        let text = start..<(hasCR ? end - 1 : end)
        let line: Line = isDropping || text.count > limit ? .tooLong : .line(Array(buffer[text]))
        buffer.overwrite(start..<end)
        start = end + 1
        searched = start
        isDropping = false
        return line
    }

    /// An idle connection holds no buffer.
    private mutating func clear() {
        buffer.overwrite(start..<buffer.count)
        buffer = []
        start = 0
        searched = 0
    }

    /// Bytes received and not yet returned as lines.
    public var pendingCount: Int { isDropping ? 1 : buffer.count - start }
}
