import NetIO

/// A connection that we have ended and the peer has not: what it still sends is read and dropped, so that no RST overtakes
/// our last bytes; then it is closed.
final class Lingering {
    private let stream: Stream
    private let endsWithReset: Bool
    private let onGone: (Lingering) -> Void
    private var timer: (any Timer)?
    private var hasFinished = false
    private var dropped = 0

    private static let limit: Duration = .seconds(2)
    private static let dropLimit = 64 * 1024

    /// - Parameter sendsFIN: false where the peer is only to be kept from blocking until it has read our reply elsewhere.
    init(
        _ stream: Stream, scheduler: any Scheduler, sendsFIN: Bool = true, endsWithReset: Bool = false,
        onGone: @escaping (Lingering) -> Void
    ) {
        self.stream = stream
        self.endsWithReset = endsWithReset
        self.onGone = onGone
        hasFinished = !sendsFIN
        // What is still to be sent was encrypted long ago, and what still comes is not looked at.
        stream.stopTLS()
        timer = scheduler.makeTimer { [unowned self] in end() }
        timer?.start(after: Self.limit)
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
                    dropped += count
                    // A flood is cut off, unless swallowing it is what we are here for.
                    if !endsWithReset, dropped > Self.dropLimit { return end() }
                    if endsWithReset { return stream.transport.wake() }
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
        endsWithReset ? stream.transport.reset() : stream.transport.close()
        onGone(self)
    }
}
