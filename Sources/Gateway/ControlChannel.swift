import NetIO
import TLS

/// A control connection of either side: bytes in, and replies or commands out, several in one write.
final class ControlChannel {
    enum Input {
        case taken
        case nothing
        case ended(Stream.End)
    }

    let stream: Stream
    private let staging: Staging
    /// What the next `flush` sends; without room of its own while there is nothing.
    private var outbox: [UInt8] = []
    private var needsTicket = false

    /// What one read brings at most: commands and replies are short.
    private static let readSize = 16 * 1024

    init(_ transport: any Transport, staging: Staging) {
        stream = Stream(transport, staging: staging)
        self.staging = staging
    }

    /// - Parameter take: is given what has come, once; it is overwritten thereafter, since it may hold a password.
    func receive(_ take: (UnsafeRawBufferPointer) -> Void) -> Input {
        switch stream.read(into: staging.plaintext, limit: Self.readSize) {
        case .bytes(let count):
            let area = UnsafeMutableRawBufferPointer(rebasing: staging.plaintext[..<count])
            take(UnsafeRawBufferPointer(area))
            area.initializeMemory(as: UInt8.self, repeating: 0)
            return .taken
        case .wouldBlock: return .nothing
        case .end(let end): return .ended(end)
        }
    }

    /// Queues bytes; `flush` sends them.
    func say(_ bytes: [UInt8]) {
        if outbox.isEmpty { outbox = staging.takeOutbox() }
        outbox += bytes
    }

    /// Queues a line, CRLF behind it.
    func say(line: [UInt8]) {
        if outbox.isEmpty { outbox = staging.takeOutbox() }
        // An array that grows by itself leaves a copy behind.
        outbox.reserveCapacity(outbox.count + line.count + 2)
        outbox += line
        outbox += [13, 10]
    }

    /// Forgets what was queued and not yet sent.
    func fallSilent() { outbox = [] }

    /// Has a fresh ticket travel with what is said next.
    func issueTicket() { needsTicket = true }

    /// - Parameter moreFollows: a close_notify comes at once, and is to travel with it.
    func flush(moreFollows: Bool = false) {
        if outbox.isEmpty {
            if stream.hasUnsent { stream.flush() }
            return
        }
        if needsTicket {
            needsTicket = false
            stream.tls?.queueTicket()
        }
        outbox.withUnsafeMutableBytes { bytes in
            stream.write(UnsafeRawBufferPointer(bytes), moreFollows: moreFollows)
            // One of the lines may have been a password.
            bytes.initializeMemory(as: UInt8.self, repeating: 0)
        }
        let used = outbox
        outbox = []
        staging.giveBack(outbox: used)
    }

    /// Bytes that the peer has not taken yet.
    var unsentCount: Int { outbox.count + stream.unsentCount }
}
