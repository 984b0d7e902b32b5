/// Turns the backend's bytes into replies, within bounds (RFC 959 section 4.2, PROTOCOL section 2).
public struct ReplyParser: Sendable {
    /// Beyond these no reply is believed to end.
    public struct Limits: Sendable, Equatable {
        public var lineBytes = 65_536
        public var replyBytes = 1_048_576
        public var lines = 20_000
        public init() {}
    }

    public enum Piece: Equatable, Sendable {
        /// A whole reply, or the rest of one whose first lines went out as `part`.
        case reply(Reply)
        /// A line where a reply should begin, and that begins none.
        case notAReply([UInt8])
        /// A bound was passed: the connection is useless from here, and nothing follows.
        case tooLong
    }

    /// A multi-line reply whose end has not come.
    private struct Unfinished {
        let code: Int
        var bytes: [UInt8] = []
        var totalBytes = 0
        var lines = 0
    }

    private let limits: Limits
    private var framer: LineFramer
    private var unfinished: Unfinished?
    private var isUseless = false

    public init(limits: Limits = Limits()) {
        self.limits = limits
        framer = LineFramer(limit: limits.lineBytes)
    }

    public mutating func append(contentsOf bytes: some Collection<UInt8>) { framer.append(contentsOf: bytes) }

    public mutating func next() -> Piece? {
        while !isUseless, let framed = framer.next() {
            guard case .line(let line) = framed else {
                isUseless = true
                return .tooLong
            }
            if let piece = take(line) { return piece }
        }
        // A line without end is not waited for.
        guard !isUseless, framer.isDropping else { return nil }
        isUseless = true
        return .tooLong
    }

    /// Once `next` has returned nil: the whole lines of a reply that goes on, if there are any.
    public mutating func takePart() -> (code: Int, bytes: [UInt8])? {
        guard let part = unfinished, !part.bytes.isEmpty else { return nil }
        unfinished?.bytes = []
        return (part.code, part.bytes)
    }

    public var isInsideReply: Bool { unfinished != nil }

    private mutating func take(_ line: [UInt8]) -> Piece? {
        let head = Self.head(of: line)
        guard var reply = unfinished else {
            guard let head else { return .notAReply(line) }
            var reply = Unfinished(code: head.code)
            append(line, to: &reply)
            if head.isLast { return .reply(Reply(code: head.code, bytes: reply.bytes)) }
            unfinished = reply
            return nil
        }
        append(line, to: &reply)
        guard reply.totalBytes <= limits.replyBytes, reply.lines <= limits.lines else {
            isUseless = true
            return .tooLong
        }
        // Lines between may begin with anything, another code included.
        if let head, head.code == reply.code, head.isLast {
            unfinished = nil
            return .reply(Reply(code: reply.code, bytes: reply.bytes))
        }
        unfinished = reply
        return nil
    }

    private func append(_ line: [UInt8], to reply: inout Unfinished) {
        reply.bytes += line
        reply.bytes += [13, 10]
        reply.totalBytes += line.count + 2
        reply.lines += 1
    }

    /// "ddd", "ddd text" or "ddd-text"; the first digit is 1 to 5.
    private static func head(of line: [UInt8]) -> (code: Int, isLast: Bool)? {
        guard line.count >= 3, (49...53).contains(line[0]) else { return nil }
        guard (48...57).contains(line[1]), (48...57).contains(line[2]) else { return nil }
        let code = line[..<3].reduce(0) { $0 * 10 + Int($1 - 48) }
        guard line.count > 3 else { return (code, true) }
        return switch line[3] {
        case UInt8(ascii: " "): (code, true)
        case UInt8(ascii: "-"): (code, false)
        default: nil
        }
    }
}
