import NetIO

/// A control connection of either side: bytes in, and replies or commands out, several in one write.
final class ControlChannel {
    enum Input {
        case bytes([UInt8])
        case nothing
        case ended(Stream.End)
    }

    let stream: Stream
    private let staging: Staging
    private var outbox: [UInt8] = []

    /// What one read brings at most: commands and replies are short.
    private static let readSize = 16 * 1024

    init(_ transport: any Transport, staging: Staging) {
        stream = Stream(transport, staging: staging)
        self.staging = staging
    }

    func receive() -> Input {
        switch stream.read(into: staging.plaintext, limit: Self.readSize) {
        case .bytes(let count): .bytes(Array(staging.plaintext[..<count]))
        case .wouldBlock: .nothing
        case .end(let end): .ended(end)
        }
    }

    /// Queues bytes; `flush` sends them.
    func say(_ bytes: [UInt8]) { outbox += bytes }

    /// Forgets what was queued and not yet sent.
    func fallSilent() { outbox = [] }

    func flush() {
        if outbox.isEmpty {
            if stream.hasUnsent { stream.flush() }
        } else {
            stream.write(outbox)
            outbox = []
        }
    }

    /// Bytes that the peer has not taken yet.
    var unsentCount: Int { outbox.count + stream.unsentCount }
}
