/// What moving records came to.
public enum RecordIO: Equatable, Sendable {
    /// So many bytes; never 0.
    case bytes(Int)
    case wouldBlock
    /// FIN, with or without a close_notify before it.
    case endOfStream
    case failed(errno: Int32)
}

/// Where a `TLSConnection`'s records come from and go to: OpenSSL itself never sees a socket.
public protocol RecordTransport: AnyObject {
    func readRecords(into buffer: UnsafeMutableRawBufferPointer) -> RecordIO
    /// Takes all of `bytes`, or fails.
    func writeRecords(_ bytes: UnsafeRawBufferPointer) -> RecordIO
}
