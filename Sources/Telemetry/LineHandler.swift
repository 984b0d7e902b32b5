import Glibc
import Logging

/// Makes lines of log events and writes them.
struct LineHandler: LogHandler {
    let format: EventLog.Format
    let write: @Sendable (Line) -> Void
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// An event's fields in their order, on their way through swift-log.
    struct Ordered: CustomStringConvertible, Sendable {
        let fields: EventLog.Fields

        /// For handlers that are not ours.
        var description: String { fields.map { "\($0.key)=\($0.value.map { "\($0)" } ?? "")" }.joined(separator: " ") }
    }

    /// Under which the fields of our own events come; other libraries' metadata has names.
    static let fieldsKey = ""

    func log(event: LogEvent) {
        var others = event.metadata ?? [:]
        if !metadata.isEmpty { others = metadata.merging(others) { $1 } }
        var fields: EventLog.Fields = [:]
        if case .stringConvertible(let ours as Ordered)? = others[Self.fieldsKey] {
            fields = ours.fields
            others = others.count == 1 ? [:] : others.filter { $0.key != Self.fieldsKey }
        }
        var line = Line()
        switch format {
        case .text:
            Timestamp.append(to: &line)
            line += " "
            line += event.level.rawValue
            line += " "
            Escaping.appendText(event.message.description, to: &line)
        case .json:
            line += #"{"time":""#
            Timestamp.append(to: &line)
            line += #"","level":""#
            line += event.level.rawValue
            line += #"","event":"#
            Escaping.appendJSON(event.message.description, to: &line)
        }
        for (name, value) in fields { if let value { append(name, value, to: &line) } }
        guard !others.isEmpty else { return end(line) }
        for (name, value) in others.sorted(by: { $0.key < $1.key }) { append(name, .string("\(value)"), to: &line) }
        end(line)
    }

    private func end(_ line: consuming Line) {
        line += format == .json ? "}\n" : "\n"
        write(line)
    }

    private func append(_ name: String, _ value: EventLog.Field, to line: inout Line) {
        switch format {
        case .text:
            line += " "
            line += name
            line += "="
            switch value {
            case .string(let text): Escaping.appendText(text, to: &line)
            case .integer(let number): line += number
            }
        case .json:
            line += ","
            Escaping.appendJSON(name, to: &line)
            line += ":"
            switch value {
            case .string(let text): Escaping.appendJSON(text, to: &line)
            case .integer(let number): line += number
            }
        }
    }

    /// Whole lines: two threads' lines never mix, as long as one write takes them.
    @Sendable static func toStandardError(_ line: Line) {
        line.bytes.withUnsafeBytes { bytes in
            var rest = bytes
            while !rest.isEmpty {
                let count = Glibc.write(2, rest.baseAddress, rest.count)
                if count > 0 {
                    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                } else if errno != EINTR {
                    return
                }
            }
        }
    }
}

/// A line in the making. As bytes: each piece that is added to a String is checked and counted anew.
struct Line: Sendable {
    private(set) var bytes: [UInt8] = []

    private static let usualLength = 256

    init() { bytes.reserveCapacity(Self.usualLength) }

    var text: String { String(decoding: bytes, as: UTF8.self) }

    static func += (line: inout Line, piece: String) { line.bytes.append(contentsOf: piece.utf8) }

    static func += (line: inout Line, number: Int) {
        if number < 0 { line.bytes.append(UInt8(ascii: "-")) }
        let value = number.magnitude
        var unit: UInt = 1
        while value / unit >= 10 { unit *= 10 }
        while unit > 0 {
            line.bytes.append(48 + UInt8(truncatingIfNeeded: value / unit % 10))
            unit /= 10
        }
    }
}

/// Now, in UTC, as RFC 3339 writes it.
enum Timestamp {
    static func append(to line: inout Line) {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        line += text(seconds: time.tv_sec, milliseconds: time.tv_nsec / 1_000_000)
    }

    static func text(seconds: Int, milliseconds: Int) -> String {
        var seconds = seconds
        var parts = tm()
        gmtime_r(&seconds, &parts)
        return String(unsafeUninitializedCapacity: 24) { bytes in
            var count = 0
            func add(_ number: Int, digits: Int, then separator: Unicode.Scalar) {
                var rest = number
                for place in stride(from: count + digits - 1, through: count, by: -1) {
                    bytes[place] = UInt8(truncatingIfNeeded: 48 + rest % 10)
                    rest /= 10
                }
                bytes[count + digits] = UInt8(truncatingIfNeeded: separator.value)
                count += digits + 1
            }
            add(Int(parts.tm_year) + 1900, digits: 4, then: "-")
            add(Int(parts.tm_mon) + 1, digits: 2, then: "-")
            add(Int(parts.tm_mday), digits: 2, then: "T")
            add(Int(parts.tm_hour), digits: 2, then: ":")
            add(Int(parts.tm_min), digits: 2, then: ":")
            add(Int(parts.tm_sec), digits: 2, then: ".")
            add(milliseconds, digits: 3, then: "Z")
            return count
        }
    }
}
