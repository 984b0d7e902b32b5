import FTPSession
import NetIO
import TLS
import Wire

/// The TLS handshake of one connection that may become a session's data connection, whenever the client begins it.
final class DataHandshake {
    enum Ending {
        case done(TLSConnection.Facts)
        /// The client left before it had said anything.
        case nothingCame
        case tookTooLong
        case failed(TLSError)
    }

    let stream: Stream
    /// Only if it resumes the session's TLS session.
    let needsProof: Bool
    /// The client offered a TLS session of another control connection; it was declined.
    private(set) var offeredForeignSession = false
    private(set) var hasBegun = false
    private let limit: Duration
    private let scheduler: any Scheduler
    private var clock: (any NetIO.Timer)?
    private var isOver = false
    private let onBegan: () -> Void
    private let onEnd: (DataHandshake, Ending) -> Void

    /// - Parameters:
    ///   - limit: from the client's first byte on; zero means without end.
    ///   - accepts: which control connection's sessions are resumed.
    init(
        _ transport: any Transport, _ surroundings: Surroundings, needsProof: Bool, terms: TLSConnection.Terms?,
        accepts: @escaping (SessionTag) -> Bool, onBegan: @escaping () -> Void,
        onEnd: @escaping (DataHandshake, Ending) -> Void
    ) {
        stream = Stream(transport, staging: surroundings.staging)
        self.needsProof = needsProof
        limit = surroundings.configuration.timeouts.handshake
        scheduler = surroundings.scheduler
        self.onBegan = onBegan
        self.onEnd = onEnd
        stream.startTLS(
            surroundings.configuration.tls,
            .data(
                accepts: { [weak self] offered in
                    let isOurs = accepts(offered)
                    if !isOurs { self?.offeredForeignSession = true }
                    return isOurs
                }, terms: terms))
    }

    func start() {
        stream.transport.onReady = { [unowned self] in advance() }
        advance()
    }

    /// Lets go of the connection.
    func leave() {
        isOver = true
        clock?.cancel()
        stream.transport.onReady = nil
    }

    func reset() {
        leave()
        stream.transport.reset()
    }

    private func advance() {
        guard !isOver else { return }
        let step = stream.handshake()
        if !hasBegun, stream.receivedCount > 0 {
            hasBegun = true
            startClock()
            onBegan()
            guard !isOver else { return }
        }
        switch step {
        case .wantsRead, .wantsWrite: stream.flush()
        case .failed(let error): end(hasBegun ? .failed(error) : .nothingCame)
        case .done: end(stream.tls?.facts.map { .done($0) } ?? .nothingCame)
        }
    }

    private func startClock() {
        guard limit > .zero else { return }
        clock = scheduler.makeTimer { [unowned self] in end(.tookTooLong) }
        clock?.start(after: limit)
    }

    private func end(_ ending: Ending) {
        leave()
        onEnd(self, ending)
    }
}
