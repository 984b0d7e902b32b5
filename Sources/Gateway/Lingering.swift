import NetIO

/// A connection that we are through with and that must not go at once.
final class Lingering {
    /// What it stays for.
    enum Manner {
        /// We have ended it and the peer has not: FIN, and what still comes is read and dropped, so that no RST overtakes our
        /// last bytes; then it is closed.
        case closing
        /// The peer is only to be kept from blocking until it has read our reply elsewhere; then RST.
        case swallowing
        /// A backend that was told of a transfer may not have accepted its connection yet: RST only after it has sent something,
        /// or has had the time. pyftpdlib takes no notice of a connection that is gone when it accepts it, says nothing, and
        /// sends the file with the next transfer's.
        case untilAccepted

        fileprivate var limit: Duration { self == .untilAccepted ? .milliseconds(250) : .seconds(2) }
    }

    private let stream: Stream
    private let manner: Manner
    private let onGone: (Lingering) -> Void
    private var timer: (any Timer)?
    private var hasFinished = false
    private var dropped = 0

    private static let dropLimit = 64 * 1024

    init(_ stream: Stream, _ manner: Manner, scheduler: any Scheduler, onGone: @escaping (Lingering) -> Void) {
        self.stream = stream
        self.manner = manner
        self.onGone = onGone
        hasFinished = manner != .closing
        // What is still to be sent was encrypted long ago, and what still comes is not looked at.
        stream.stopTLS()
        timer = scheduler.makeTimer { [unowned self] in end() }
        timer?.start(after: manner.limit)
        stream.transport.onReady = { [unowned self] in pump() }
        stream.transport.wake()
    }

    private func pump() {
        guard stream.flush() else {
            if stream.sendFailure != nil { end() }
            return
        }
        if !hasFinished {
            hasFinished = true
            stream.transport.finishWriting()
        }
        withUnsafeTemporaryAllocation(byteCount: 16 * 1024, alignment: 16) { buffer in
            while true {
                switch stream.transport.receive(into: buffer) {
                case .bytes(let count):
                    switch manner {
                    case .untilAccepted: return end()
                    case .swallowing: return stream.transport.wake()
                    case .closing:
                        dropped += count
                        // A flood is cut off.
                        if dropped > Self.dropLimit { return end() }
                    }
                case .wouldBlock: return
                case .endOfStream, .failed: return end()
                }
            }
        }
    }

    func end() {
        guard timer != nil else { return }
        timer?.cancel()
        timer = nil
        manner == .closing ? stream.transport.close() : stream.transport.reset()
        onGone(self)
    }
}
