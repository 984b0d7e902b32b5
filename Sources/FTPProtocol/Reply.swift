/// One reply, of the backend or of the gateway (RFC 959 section 4.2).
public struct Reply: Equatable, Sendable, CustomStringConvertible {
    /// 100 to 599.
    public let code: Int
    /// Every line with CRLF at its end: exactly what a client gets.
    public let bytes: [UInt8]

    public init(code: Int, bytes: [UInt8]) {
        self.code = code
        self.bytes = bytes
    }

    /// A reply of one line.
    public init(_ code: Int, _ text: String) {
        self.code = code
        bytes = Array("\(code) \(text)\r\n".utf8)
    }

    /// A reply of several lines: the first, those between as they are, the last.
    public init(_ code: Int, first: String, between: [String], last: String) {
        self.code = code
        bytes = Array("\(code)-\(first)\r\n\(between.map { $0 + "\r\n" }.joined())\(code) \(last)\r\n".utf8)
    }

    public var isPreliminary: Bool { (100...199).contains(code) }
    public var isPositiveCompletion: Bool { (200...299).contains(code) }
    public var isIntermediate: Bool { (300...399).contains(code) }
    public var isNegative: Bool { code >= 400 }
    public var isFinal: Bool { !isPreliminary }

    /// The lines without their ends.
    public var lines: [[UInt8]] {
        bytes.split(separator: UInt8(ascii: "\n")).map { line in
            Array(line.last == UInt8(ascii: "\r") ? line.dropLast() : line)
        }
    }

    /// The first line's text behind the code, repaired where it is no UTF-8.
    public var text: String { String(decoding: (lines.first ?? []).dropFirst(4), as: UTF8.self) }

    public var description: String { "\(code) \(text)" }
}
