import Glibc
import Logging

/// An event on its way into the log: what happened, and when.
struct LogEntry: Sendable {
    let time: timespec
    let level: Logger.Level
    let event: String
    let fields: EventLog.Fields
    /// What other libraries say beside their message, in the order of its names.
    var others: Logger.Metadata = [:]

    /// Now, in the time of day.
    static var now: timespec {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return time
    }
}

/// Lines in the making, one after the other. As bytes: each piece that is added to a String is checked and counted anew.
struct Line: Sendable {
    private(set) var bytes: [UInt8] = []

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

    mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }
}

extension Line {
    mutating func append(_ entry: LogEntry, _ format: EventLog.Format) {
        switch format {
        case .text:
            append(entry.time)
            self += " "
            self += entry.level.rawValue
            self += " "
            Escaping.appendText(entry.event, to: &self)
        case .json:
            self += #"{"time":""#
            append(entry.time)
            self += #"","level":""#
            self += entry.level.rawValue
            self += #"","event":"#
            Escaping.appendJSON(entry.event, to: &self)
        }
        for (name, value) in entry.fields { if let value { append(name, value, format) } }
        if !entry.others.isEmpty {
            for (name, value) in entry.others.sorted(by: { $0.key < $1.key }) { append(name, .string("\(value)"), format) }
        }
        self += format == .json ? "}\n" : "\n"
    }

    private mutating func append(_ name: String, _ value: EventLog.Field, _ format: EventLog.Format) {
        switch format {
        case .text:
            self += " "
            self += name
            self += "="
            switch value {
            case .string(let text): Escaping.appendText(text, to: &self)
            case .integer(let number): self += number
            }
        case .json:
            self += ","
            Escaping.appendJSON(name, to: &self)
            self += ":"
            switch value {
            case .string(let text): Escaping.appendJSON(text, to: &self)
            case .integer(let number): self += number
            }
        }
    }

    /// In UTC, as RFC 3339 writes it.
    mutating func append(_ time: timespec) {
        var seconds = time.tv_sec
        var parts = tm()
        gmtime_r(&seconds, &parts)
        append(Int(parts.tm_year) + 1900, digits: 4, then: "-")
        append(Int(parts.tm_mon) + 1, digits: 2, then: "-")
        append(Int(parts.tm_mday), digits: 2, then: "T")
        append(Int(parts.tm_hour), digits: 2, then: ":")
        append(Int(parts.tm_min), digits: 2, then: ":")
        append(Int(parts.tm_sec), digits: 2, then: ".")
        append(time.tv_nsec / 1_000_000, digits: 3, then: "Z")
    }

    private mutating func append(_ number: Int, digits: Int, then separator: Unicode.Scalar) {
        var unit = 1
        for _ in 1..<digits { unit *= 10 }
        while unit > 0 {
            bytes.append(48 + UInt8(truncatingIfNeeded: number / unit % 10))
            unit /= 10
        }
        bytes.append(UInt8(truncatingIfNeeded: separator.value))
    }
}
