import Glibc
import Logging

/// Makes lines of log events and writes them.
struct LineHandler: LogHandler {
    let format: EventLog.Format
    let write: @Sendable (String) -> Void
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }.map {
            (Self.name($0.key), $0.value)
        }
        let line =
            switch format {
            case .text: text(event, fields)
            case .json: json(event, fields)
            }
        write(line + "\n")
    }

    private func text(_ event: LogEvent, _ fields: [(String, Logger.MetadataValue)]) -> String {
        let head = "\(Timestamp.now()) \(event.level.rawValue) \(Escaping.text("\(event.message)"))"
        return fields.reduce(into: head) { $0 += " \($1.0)=\(Escaping.text("\($1.1)"))" }
    }

    private func json(_ event: LogEvent, _ fields: [(String, Logger.MetadataValue)]) -> String {
        let head =
            #"{"time":"\#(Timestamp.now())","level":"\#(event.level.rawValue)","event":\#(Escaping.json("\(event.message)"))"#
        return fields.reduce(into: head) { line, field in
            let value =
                if case .stringConvertible(let number) = field.1, number is Int { "\(number)" } else {
                    Escaping.json("\(field.1)")
                }
            line += ",\(Escaping.json(field.0)):\(value)"
        } + "}"
    }

    /// Whole lines: two threads' lines never mix, as long as one write takes them.
    @Sendable static func toStandardError(_ line: String) {
        var rest = Array(line.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                return
            }
        }
    }

    // MARK: - The order of fields

    /// A key that sorts by its place.
    static func placed(_ key: String, at index: Int) -> String { "\(index < 10 ? "0" : "")\(index)\u{1}\(key)" }

    private static func name(_ placed: String) -> String {
        placed.firstIndex(of: "\u{1}").map { String(placed[placed.index(after: $0)...]) } ?? placed
    }
}

/// Now, in UTC, as RFC 3339 writes it.
enum Timestamp {
    static func now() -> String {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return text(seconds: time.tv_sec, milliseconds: time.tv_nsec / 1_000_000)
    }

    static func text(seconds: Int, milliseconds: Int) -> String {
        var seconds = seconds
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func digits(_ number: Int, _ count: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let day = "\(parts.tm_year + 1900)-\(digits(Int(parts.tm_mon) + 1, 2))-\(digits(Int(parts.tm_mday), 2))"
        let clock = "\(digits(Int(parts.tm_hour), 2)):\(digits(Int(parts.tm_min), 2)):\(digits(Int(parts.tm_sec), 2))"
        return "\(day)T\(clock).\(digits(milliseconds, 3))Z"
    }
}
