import Synchronization

/// What has happened so far, and how things stand, as numbers that any thread may add to.
///
/// Every event of the log is counted by its name and its reason, whatever the log's level; so what is worth a line is worth a
/// number, under the same name. Labels come from the gateway's own words alone: no client, user or path makes a series.
public final class Metrics: Sendable {
    /// One number's name and labels.
    struct Series: Hashable {
        let name: String
        let labels: [Label]
    }

    struct Label: Hashable {
        let name: String
        let value: String
    }

    public enum Kind: String, Sendable { case counter, gauge }

    /// A metric as `/metrics` describes it.
    public struct Definition: Sendable {
        public let name: String
        public let kind: Kind
        public let help: String

        public static let events = Definition(
            name: "ftpsgate_events_total", kind: .counter, help: "Events of the log, by name and reason.")
        public static let transferBytes = Definition(
            name: "ftpsgate_transfer_bytes_total", kind: .counter, help: "Bytes of files and listings, by direction.")
        public static let encryptedDownloads = Definition(
            name: "ftpsgate_encrypted_downloads_total", kind: .counter,
            help: "With --ktls, downloads and listings over TLS, by who encrypted most of it: kernel or gateway.")
        public static let handshakes = Definition(
            name: "ftpsgate_tls_handshakes_total", kind: .counter, help: "TLS handshakes that succeeded.")
        public static let sessions = Definition(
            name: "ftpsgate_sessions_active", kind: .gauge, help: "Control connections that are open.")
        public static let draining = Definition(
            name: "ftpsgate_draining", kind: .gauge, help: "1 once the gateway has been told to stop.")
        public static let lastReloadSuccessful = Definition(
            name: "ftpsgate_config_last_reload_successful", kind: .gauge, help: "0 when the last reload was refused.")
        public static let certificateExpiry = Definition(
            name: "ftpsgate_certificate_expiry_timestamp_seconds", kind: .gauge, help: "When each certificate expires.")
        public static let tlsContexts = Definition(
            name: "ftpsgate_tls_contexts", kind: .gauge,
            help:
                "Sets of certificates and TLS settings in memory: one, and those that a reload replaced and connections still use."
        )
        public static let tlsLegacy = Definition(
            name: "ftpsgate_tls_legacy", kind: .gauge, help: "1 while --tls-legacy lets old versions and ciphers in.")
        public static let lostLogLines = Definition(
            name: "ftpsgate_log_lines_lost_total", kind: .counter,
            help: "Log lines that could not be written: nobody read standard error for too long, or the disk was full.")
        public static let build = Definition(name: "ftpsgate_build_info", kind: .gauge, help: "Versions; the value is 1.")

        static let all = [
            build, sessions, draining, events, transferBytes, encryptedDownloads, handshakes, lastReloadSuccessful,
            certificateExpiry,
            tlsContexts, tlsLegacy, lostLogLines,
        ]
    }

    private let numbers = Mutex<[Series: Int]>([:])

    public init() {}

    /// Adds to a counter.
    public func add(_ metric: Definition, _ labels: KeyValuePairs<String, String> = [:], by count: Int = 1) {
        let series = Self.series(metric, labels)
        numbers.withLock { $0[series, default: 0] += count }
    }

    /// Sets a gauge.
    public func set(_ metric: Definition, _ labels: KeyValuePairs<String, String> = [:], to value: Int) {
        let series = Self.series(metric, labels)
        numbers.withLock { $0[series] = value }
    }

    /// Takes a gauge's series away, where what it described is gone.
    public func removeAll(of metric: Definition) {
        numbers.withLock { numbers in numbers = numbers.filter { $0.key.name != metric.name } }
    }

    public func value(of metric: Definition, _ labels: KeyValuePairs<String, String> = [:]) -> Int {
        let series = Self.series(metric, labels)
        return numbers.withLock { $0[series] ?? 0 }
    }

    /// The text format of Prometheus, version 0.0.4.
    public var text: String {
        let numbers = numbers.withLock { $0 }
        let byName = Dictionary(grouping: numbers, by: \.key.name)
        return Definition.all.reduce(into: "") { text, metric in
            guard let series = byName[metric.name] else { return }
            text += "# HELP \(metric.name) \(metric.help)\n# TYPE \(metric.name) \(metric.kind.rawValue)\n"
            for line in series.map({ "\($0.key.name)\(Self.text(of: $0.key.labels)) \($0.value)" }).sorted() {
                text += line + "\n"
            }
        }
    }

    private static func series(_ metric: Definition, _ labels: KeyValuePairs<String, String>) -> Series {
        Series(name: metric.name, labels: labels.map { Label(name: $0.key, value: $0.value) })
    }

    private static func text(of labels: [Label]) -> String {
        if labels.isEmpty { return "" }
        return "{" + labels.map { "\($0.name)=\"\(escaped($0.value))\"" }.joined(separator: ",") + "}"
    }

    private static func escaped(_ value: String) -> String {
        value.reduce(into: "") { text, character in
            switch character {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.append(character)
            }
        }
    }
}

extension Metrics {
    /// An event of the log. A reason counts where it is one of the gateway's words, not where it is a sentence.
    func count(event: String, reason: String?) {
        if let reason, Self.isWord(reason) {
            add(.events, ["event": event, "reason": reason])
        } else {
            add(.events, ["event": event])
        }
    }

    private static func isWord(_ text: String) -> Bool {
        (1...40).contains(text.utf8.count)
            && text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 95 }
    }
}
