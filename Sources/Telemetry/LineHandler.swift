import Logging

/// Takes log events, ours and those of libraries, from swift-log to the writer.
struct LineHandler: LogHandler {
    let writer: LogWriter
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
        writer.take(
            LogEntry(time: LogEntry.now, level: event.level, event: event.message.description, fields: fields, others: others))
    }
}
