import Logging

/// The gateway's log: one event, one line, in text or JSON; a front for swift-log, so that libraries' lines come out alike.
///
/// An event has a short fixed name and fields; what peers say stands in fields only and is escaped, so that no line of theirs
/// can look like ours.
public struct EventLog: Sendable {
    public enum Level: String, Sendable, CaseIterable { case error, warning, info, debug }
    public enum Format: String, Sendable, CaseIterable { case text, json }

    /// What a field says.
    public enum Field: Sendable, Equatable, ExpressibleByStringLiteral {
        case string(String)
        case integer(Int)

        public init(stringLiteral text: String) { self = .string(text) }
    }

    /// In the order in which they are shown; nil is left out.
    public typealias Fields = KeyValuePairs<String, Field?>

    private let logger: Logger
    /// What makes lines of the events, and writes them.
    public let writer: LogWriter
    /// What has happened so far: every event from info on, at whatever level the log is, and what others add.
    public let metrics: Metrics

    /// To standard error.
    public init(level: Level, format: Format) {
        let metrics = Metrics()
        self.init(level: level, metrics: metrics, writer: LogWriter(format, metrics))
    }

    /// - Parameter write: takes one line with its end.
    public init(level: Level, format: Format, write: @escaping @Sendable (String) -> Void) {
        let metrics = Metrics()
        let writer = LogWriter(format, metrics) { bytes in
            write(String(decoding: bytes, as: UTF8.self))
            return bytes.count
        }
        self.init(level: level, metrics: metrics, writer: writer)
    }

    init(level: Level, metrics: Metrics, writer: LogWriter) {
        self.metrics = metrics
        self.writer = writer
        var logger = Logger(label: "ftpsgate") { _ in LineHandler(writer: writer) }
        logger.logLevel = level.loggerLevel
        self.logger = logger
    }

    public func error(_ event: String, _ fields: @autoclosure () -> Fields = [:]) { record(.error, event, fields()) }
    public func warning(_ event: String, _ fields: @autoclosure () -> Fields = [:]) { record(.warning, event, fields()) }
    public func info(_ event: String, _ fields: @autoclosure () -> Fields = [:]) { record(.info, event, fields()) }
    public func debug(_ event: String, _ fields: @autoclosure () -> Fields = [:]) { record(.debug, event, fields()) }

    public func record(_ level: Level, _ event: String, _ fields: @autoclosure () -> Fields = [:]) {
        let isShown = logger.logLevel <= level.loggerLevel
        // Debug events come with each command: neither counted nor made where nobody reads them.
        guard isShown || level != .debug else { return }
        let fields = fields()
        if level != .debug { count(event, fields) }
        guard isShown else { return }
        // One entry: swift-log's metadata has no order, and to sort and to hash each field costs more than all the rest.
        logger.log(
            level: level.loggerLevel, Logger.Message(stringLiteral: event),
            metadata: [LineHandler.fieldsKey: .stringConvertible(LineHandler.Ordered(fields: fields))], source: "ftpsgate")
    }

    private func count(_ event: String, _ fields: Fields) {
        var reason: String?
        if case .string(let text)?? = fields.first(where: { $0.key == "reason" })?.value { reason = text }
        metrics.count(event: event, reason: reason)
    }
}

extension EventLog.Level {
    fileprivate var loggerLevel: Logger.Level {
        switch self {
        case .error: .error
        case .warning: .warning
        case .info: .info
        case .debug: .debug
        }
    }
}
