import FTPSession
import NetIO

/// Moves one transfer's bytes from one stream to the other, in batches, and says how it ended.
///
/// Nothing is kept in here: a batch goes from the source through the worker's staging area into the sink, and what the sink's
/// connection does not take waits in the sink; then the source is not read. So each direction holds one batch at most. A batch
/// grows where the sink takes several whole ones in a row, so that a reader that is slow from the start meets small ones, and
/// shrinks where the sink is slow or the worker's buffers are used up. What `Gathering` says keeps batches from being small only
/// because we are quick.
final class Relay {
    enum Ending: Equatable {
        /// The source ended, and the sink's connection has taken every byte.
        case sourceEnded(Stream.End)
        case sinkFailed
        /// More would be sent than the kernel's keys are good for.
        case keysUsedUp
    }

    private let source: Stream
    private let sink: Stream
    private let staging: Staging
    private let onSourceEnd: (Stream.End) -> Void
    private let onEnd: (Ending) -> Void
    private var batch = Staging.smallestBatch
    /// Whole batches that the sink took since the last change.
    private var taken = 0
    private var sourceEnd: Stream.End?
    private var isOver = false
    /// The sink's peer has said that it is leaving: more bytes would not arrive.
    var refusesMore = false
    private(set) var bytesMoved = 0
    /// How many bytes may be moved where the kernel encrypts for the sink; nil where it may not.
    private let kernelLimit: Int?
    /// Where both sides are in the clear, or the kernel encrypts for the sink, it moves the bytes by itself, once the transfer has
    /// shown that it is a long one.
    private var bypass: KernelPipe?
    private var canBypass = true
    /// Whether the kernel is at it.
    var isBypassing: Bool { bypass != nil }
    /// Bytes that were taken from the source and that the sink's connection has not taken.
    var unsentCount: Int { sink.unsentCount + (bypass?.heldCount ?? 0) }

    private let scheduler: any Scheduler
    private var gathering: Gathering
    private lazy var gatheringTimer = scheduler.makeTimer { [unowned self] in stopGathering() }

    private static let bytesBeforeBypass = 1024 * 1024

    /// Bytes that one turn may move before others have theirs.
    private static let turnBudget = 1024 * 1024
    /// Batches of one size before they grow.
    private static let batchesBeforeGrowth = 4

    /// - Parameters:
    ///   - kernelLimit: how many bytes the kernel may encrypt (`TLSConnection.kernelLimit`).
    ///   - gathering: another measure is for tests, which have less to move.
    ///   - onSourceEnd: is called as soon as nothing more comes, while bytes may still be on their way to the sink: what is to
    ///     travel with the last of them is written now.
    init(
        from source: Stream, to sink: Stream, staging: Staging, scheduler: any Scheduler, kernelLimit: Int? = nil,
        gathering: Gathering.Measure = Gathering.Measure(),
        onSourceEnd: @escaping (Stream.End) -> Void = { _ in },
        onEnd: @escaping (Ending) -> Void
    ) {
        self.source = source
        self.sink = sink
        self.staging = staging
        self.scheduler = scheduler
        self.kernelLimit = kernelLimit
        self.gathering = Gathering(gathering)
        self.onSourceEnd = onSourceEnd
        self.onEnd = onEnd
    }

    deinit { closeBypass() }

    /// Does all that can be done now, within one turn's budget.
    func pump() {
        var budget = Self.turnBudget
        while !isOver {
            if sink.hasUnsent || sourceEnd != nil, !sink.flush(), sink.sendFailure == nil {
                shrink()
                return
            }
            if sink.sendFailure != nil { return finish(.sinkFailed) }
            if let sourceEnd { return finish(.sourceEnded(sourceEnd)) }
            guard budget > 0 else {
                sink.flush()
                return source.transport.wake()
            }
            if openBypass(), let isGoing = pumpBypass(&budget) {
                guard isGoing else { return }
                continue
            }
            let limit = staging.pool.isExhausted ? Staging.smallestBatch : batch
            switch source.read(into: staging.plaintext, limit: limit) {
            case .bytes where refusesMore: return finish(.sinkFailed)
            case .bytes(let count):
                moved(count)
                if count < gathering.threshold { awaitMore() }
                guard !isBeyondKeys else { return finish(.keysUsedUp) }
                budget -= count
                pass(UnsafeRawBufferPointer(rebasing: staging.plaintext[..<count]), isShort: count < limit)
                if count >= batch, !sink.hasUnsent { grow() }
            case .wouldBlock:
                gather()
                sink.flush()
                if sink.sendFailure != nil { finish(.sinkFailed) }
                return
            case .end(let end):
                sourceEnd = end
                onSourceEnd(end)
            }
        }
    }

    private func openBypass() -> Bool {
        if bypass != nil { return true }
        guard canBypass, bytesMoved >= Self.bytesBeforeBypass, source.isTransparentForReading else { return false }
        guard sink.isTransparentForWriting || encryptInKernel() else { return false }
        bypass = staging.pipes.take()
        canBypass = bypass != nil
        return canBypass
    }

    private func encryptInKernel() -> Bool {
        guard kernelLimit != nil, sink.tls != nil, sink.flush() else { return false }
        canBypass = sink.encryptInKernel()
        return canBypass
    }

    private var isBeyondKeys: Bool {
        guard let kernelLimit, bytesMoved > kernelLimit else { return false }
        return sink.tls != nil && sink.sendsClear
    }

    /// - Returns: whether to go on; nil where bytes have to be moved by hand after all, with the pipe empty.
    private func pumpBypass(_ budget: inout Int) -> Bool? {
        guard let pipe = bypass else { return nil }
        switch sink.flush(pipe) {
        case true?: break
        case false?:
            if sink.sendFailure != nil { finish(.sinkFailed) }
            return false
        case nil:
            sink.write(UnsafeRawBufferPointer(rebasing: staging.plaintext[..<pipe.read(into: staging.plaintext)]))
            canBypass = pipe.heldCount > 0
            if !canBypass { closeBypass() }
            return canBypass ? true : nil
        }
        switch source.read(into: pipe, limit: Self.turnBudget) {
        case nil:
            canBypass = false
            closeBypass()
            return nil
        case .bytes where refusesMore: finish(.sinkFailed)
        case .bytes(let count):
            moved(count)
            budget -= count
            guard isBeyondKeys else { return true }
            finish(.keysUsedUp)
        case .wouldBlock: gather()
        case .end(let end):
            sourceEnd = end
            onSourceEnd(end)
            return true
        }
        return false
    }

    private func closeBypass() {
        if let pipe = bypass { staging.pipes.giveBack(pipe) }
        bypass = nil
    }

    private func moved(_ count: Int) {
        bytesMoved += count
        if gathering.moved(count, scheduler.now) { source.transport.gather(gathering.threshold) }
    }

    /// The next read would bring little. A clear source is read on, since its end comes without a record.
    private func awaitMore() {
        if source.tls != nil { source.transport.awaitMore() }
    }

    private func gather() {
        // What the sink's peer says runs the relay too: a wait that has begun is not begun again.
        guard gathering.isOn, !gathering.isWaiting else { return }
        gathering.wait(scheduler.now)
        gatheringTimer.start(after: Gathering.limit)
    }

    private func stopGathering() {
        guard !isOver, gathering.isWaiting else { return }
        gathering.giveUp()
        source.transport.gather(gathering.threshold)
        source.transport.askAgain()
        source.transport.onReady?()
    }

    /// Behind a short read often comes nothing but the end: its close_notify, or its FIN, is to travel with these bytes. A clear
    /// source makes no records meanwhile.
    private func pass(_ bytes: UnsafeRawBufferPointer, isShort: Bool) {
        sink.write(bytes, moreFollows: sink.sendsClear ? source.hasEnded : isShort && source.tls == nil)
    }

    private func grow() {
        taken += 1
        guard taken >= Self.batchesBeforeGrowth else { return }
        taken = 0
        batch = min(Staging.largestBatch, batch * 2)
    }

    /// Only where most of a batch was not taken: a sink that is short of room for a moment is not slow.
    private func shrink() {
        guard sink.unsentCount > batch / 2 else { return }
        taken = 0
        batch = max(Staging.smallestBatch, batch / 2)
    }

    private func finish(_ ending: Ending) {
        isOver = true
        closeBypass()
        onEnd(ending)
    }
}
