import NetIO
import Wire

/// The far end of a connection: a client or a backend in a test's hands. It reads by itself unless told not to, and does what
/// the test says.
final class TestPeer {
    enum End: Equatable {
        case fin
        case closeNotify
        /// FIN without close_notify, though TLS was up.
        case cut
        case reset
        case tlsFailed(String)
    }

    let transport: SimulatedTransport
    private(set) var tls: ClientTLS?
    private(set) var received: [UInt8] = []
    private(set) var end: End?
    /// The TCP end behind a close_notify.
    private(set) var tcpEnd: End?
    var isReading = true { didSet { pump() } }
    private var outbox: [UInt8] = []
    private var outboxStart = 0
    private var afterOutbox: [() -> Void] = []
    var onReceive: (() -> Void)?

    init(_ transport: SimulatedTransport) {
        self.transport = transport
        transport.onReady = { [unowned self] in pump() }
        transport.wake()
    }

    func startTLS(_ settings: ClientTLSSettings, resumes: Bool = false, alpn: [String] = []) {
        let tls = ClientTLS(settings, resumes: resumes, alpn: alpn)
        self.tls = tls
        // What came already is TLS.
        if !received.isEmpty { tls.receive(received) }
        received = []
        pump()
    }

    /// Back to clear bytes, behind a close_notify (CCC).
    func stopTLS() {
        tls = nil
        end = nil
        pump()
    }

    // MARK: - What the test says

    func send(_ bytes: [UInt8], recordSize: Int = 16_384) {
        if let tls {
            tls.write(bytes, recordSize: recordSize)
            outbox += tls.take()
        } else {
            outbox += bytes
        }
        flush()
    }

    /// Bytes as they are, past TLS.
    func sendRaw(_ bytes: [UInt8]) {
        outbox += bytes
        flush()
    }

    /// The records of these bytes, not sent.
    func records(of bytes: [UInt8], recordSize: Int = 16_384, closeNotify: Bool = false) -> [UInt8] {
        guard let tls else { return bytes }
        tls.write(bytes, recordSize: recordSize)
        if closeNotify { tls.sendCloseNotify() }
        return tls.take()
    }

    func sendCloseNotify() {
        tls?.sendCloseNotify()
        outbox += tls?.take() ?? []
        flush()
    }

    /// All of these happen when everything before them is written.
    func finish() { whenSent { [transport] in transport.finishWriting() } }
    func close() { whenSent { [transport] in transport.close() } }
    func reset() { whenSent { [transport] in transport.reset() } }

    func whenSent(_ body: @escaping () -> Void) {
        afterOutbox.append(body)
        flush()
    }

    /// All that came so far, once.
    func take() -> [UInt8] {
        defer { received = [] }
        return received
    }

    /// What came and was not taken.
    var peek: [UInt8] { received }

    func putBack(_ bytes: [UInt8]) { received = bytes + received }

    var hasUnsent: Bool { outboxStart < outbox.count }
    var isUp: Bool { tls?.isUp ?? true }

    // MARK: - Moving bytes

    private func pump() {
        flush()
        guard isReading else { return }
        while tcpEnd == nil {
            var bytes = [UInt8](repeating: 0, count: 65_536)
            let result = bytes.withUnsafeMutableBytes { transport.receive(into: $0) }
            guard case .bytes(let count) = result else {
                ended(result)
                break
            }
            if let tls { tls.receive(Array(bytes[..<count])) } else { received += bytes[..<count] }
            readTLS()
        }
        readTLS()
        flush()
        if !received.isEmpty || end != nil { onReceive?() }
    }

    private func readTLS() {
        guard let tls, end == nil else { return }
        guard tls.advance() else {
            if case .failed(let reason) = tls.read() { end = .tlsFailed(reason) } else { end = .tlsFailed("handshake") }
            outbox += tls.take()
            return
        }
        loop: while tls.isUp {
            switch tls.read() {
            case .bytes(let bytes): received += bytes
            case .nothing: break loop
            case .closeNotify:
                end = .closeNotify
                break loop
            case .failed(let reason):
                end = .tlsFailed(reason)
                break loop
            }
        }
        outbox += tls.take()
    }

    private func ended(_ result: IOResult) {
        switch result {
        case .endOfStream: tcpEnd = .fin
        case .failed: tcpEnd = .reset
        default: return
        }
        readTLS()
        if end == nil { end = tcpEnd == .fin && tls != nil ? .cut : tcpEnd }
    }

    private func flush() {
        while outboxStart < outbox.count {
            let result = outbox.withUnsafeBytes { transport.send(UnsafeRawBufferPointer(rebasing: $0[outboxStart...])) }
            guard case .bytes(let count) = result else {
                // A broken connection takes nothing more: what was to follow follows.
                if case .failed = result { break }
                return
            }
            outboxStart += count
        }
        outbox = []
        outboxStart = 0
        let bodies = afterOutbox
        afterOutbox = []
        for body in bodies { body() }
    }
}
