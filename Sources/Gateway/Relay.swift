import FTPSession
import NetIO

/// Moves one transfer's bytes from one stream to the other, in batches, and says how it ended.
///
/// Nothing is kept in here: a batch goes from the source through the worker's staging area into the sink, and what the sink's
/// connection does not take waits in the sink; then the source is not read. So each direction holds one batch at most, and a
/// batch shrinks where the sink is slow.
final class Relay {
    enum Ending: Equatable {
        /// The source ended, and the sink's connection has taken every byte.
        case sourceEnded(Stream.End)
        case sinkFailed
    }

    private let source: Stream
    private let sink: Stream
    private let staging: Staging
    private let onSourceEnd: (Stream.End) -> Void
    private let onEnd: (Ending) -> Void
    private var batch = Staging.smallestBatch
    private var sourceEnd: Stream.End?
    private var isOver = false
    /// The sink's peer has said that it is leaving: more bytes would not arrive.
    var refusesMore = false
    private(set) var bytesMoved = 0

    /// Bytes that one turn may move before others have theirs.
    private static let turnBudget = 1024 * 1024

    /// - Parameter onSourceEnd: is called as soon as nothing more comes, while bytes may still be on their way to the sink.
    init(
        from source: Stream, to sink: Stream, staging: Staging, onSourceEnd: @escaping (Stream.End) -> Void = { _ in },
        onEnd: @escaping (Ending) -> Void
    ) {
        self.source = source
        self.sink = sink
        self.staging = staging
        self.onSourceEnd = onSourceEnd
        self.onEnd = onEnd
    }

    /// Does all that can be done now, within one turn's budget.
    func pump() {
        var budget = Self.turnBudget
        while !isOver {
            guard sink.flush() else {
                if sink.sendFailure != nil { finish(.sinkFailed) }
                batch = max(Staging.smallestBatch, batch / 2)
                return
            }
            if let sourceEnd { return finish(.sourceEnded(sourceEnd)) }
            guard budget > 0 else { return source.transport.wake() }
            switch source.read(into: staging.plaintext, limit: batch) {
            case .bytes where refusesMore: return finish(.sinkFailed)
            case .bytes(let count):
                bytesMoved += count
                budget -= count
                sink.write(UnsafeRawBufferPointer(rebasing: staging.plaintext[..<count]))
                if count >= batch, !sink.hasUnsent { batch = min(Staging.largestBatch, batch * 2) }
            case .wouldBlock: return
            case .end(let end):
                sourceEnd = end
                onSourceEnd(end)
            }
        }
    }

    private func finish(_ ending: Ending) {
        isOver = true
        onEnd(ending)
    }
}
