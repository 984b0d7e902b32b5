import FTPProtocol
import FTPSession
import NetIO
import TLS
import Telemetry
import Wire

/// One transfer's two ends, from PASV to the last byte: made as the session asks, joined by a relay, and put away so that
/// neither peer mistakes a broken transfer for a whole one (PROTOCOL 5).
final class DataChannel {
    let client: ClientDataEnd
    let backend: BackendDataEnd
    private let surroundings: Surroundings
    private let forgivesMissingCloseNotify: Bool
    private let onEvent: (Event) -> Void
    private var direction: Direction?
    /// What the backend began with.
    private var announcement: Reply?
    private var relay: Relay?
    private var isPumpDue = false
    /// The relay is through with the source; the end is on its way to the sink.
    private var isEnding = false
    private(set) var hasEnded = false
    /// The receiving side has ended its own direction.
    private var hasSinkEnded = false
    private var clock: (any NetIO.Timer)?
    private var lastProgress: Duration = .zero
    private var progressAtLastLook = 0

    /// - Parameter forgivesMissingCloseNotify: `--upload-eof lenient` is meant for this client.
    init(
        _ surroundings: Surroundings, client: ClientDataEnd, backend: BackendDataEnd, forgivesMissingCloseNotify: Bool,
        onEvent: @escaping (Event) -> Void
    ) {
        self.surroundings = surroundings
        self.client = client
        self.backend = backend
        self.forgivesMissingCloseNotify = forgivesMissingCloseNotify
        self.onEvent = onEvent
        client.onPromised = { [unowned self] in
            startClock()
            onEvent(.clientDataListening($0))
        }
        client.onNoPort = { onEvent(.noPassivePort) }
        client.onBegan = { onEvent(.clientDataBegan) }
        client.onReady = { [unowned self] in
            onEvent(.clientDataReady)
            join()
        }
        client.onFailure = { [unowned self] in end(.failed($0, bytes: bytesMoved)) }
        backend.onListening = { onEvent(.backendDataListening($0)) }
        backend.onReady = { [unowned self] in
            onEvent(.backendDataConnected)
            join()
        }
        backend.onFailure = { [unowned self] failure in
            direction == nil ? onEvent(.backendDataFailed(failure)) : end(.failed(failure, bytes: 0))
        }
    }

    var bytesMoved: Int { relay?.bytesMoved ?? 0 }

    // MARK: - Joining

    /// The backend is ready to send or to take: the relay runs as soon as both ends are there.
    /// - Parameter announcement: what the backend began with.
    func start(_ direction: Direction, _ announcement: Reply) {
        self.direction = direction
        self.announcement = announcement
        startClock()
        if case .failed(let failure) = backend.state { return end(.failed(failure, bytes: 0)) }
        client.await()
        join()
    }

    /// A transfer waits for the client before the backend hears of it.
    func awaitClient() {
        startClock()
        client.await()
    }

    private func join() {
        guard let direction, relay == nil, !hasEnded, let client = client.stream, let backend = backend.stream else { return }
        switch direction {
        case .download:
            relay = Relay(
                from: backend, to: client, staging: surroundings.staging, scheduler: surroundings.scheduler,
                kernelLimit: client.tls?.kernelLimit(expecting: announcement?.announcedSize),
                // The end is said before the backend's reply passes: clients take the reply for the last word.
                onSourceEnd: { end in if end == .fin { client.sendCloseNotify(isLast: true) } },
                onEnd: { [unowned self] in downloadEnded($0) })
        case .upload:
            relay = Relay(
                from: client, to: backend, staging: surroundings.staging, scheduler: surroundings.scheduler,
                onSourceEnd: { end in
                    // The client waits for ours before it closes; the backend may take its time with the rest.
                    if end == .closeNotify { client.sendCloseNotify() }
                },
                onEnd: { [unowned self] in uploadEnded($0) })
        }
        client.transport.onReady = { [unowned self] in pumpSoon() }
        backend.transport.onReady = { [unowned self] in pumpSoon() }
        pump()
    }

    /// Commands come before bulk: a transfer that never blocks must not hold up other sessions, nor its own ABOR.
    private func pumpSoon() {
        guard bytesMoved > Self.bulk else { return pump() }
        guard !isPumpDue else { return }
        isPumpDue = true
        surroundings.scheduler.afterOthers { [weak self] in
            guard let self else { return }
            isPumpDue = false
            if !hasEnded { pump() }
        }
    }

    private func pump() {
        if isEnding { return finishEnding() }
        direction == .download ? watchClient() : watchBackend()
        guard !hasEnded else { return }
        relay?.pump()
    }

    /// What the receiving side says while it should be silent is dropped; that it is gone shows itself nowhere else while
    /// there is nothing to send.
    private func listenToSink(_ stream: Stream) -> Stream.End? {
        for _ in 0..<Self.droppedReadsPerTurn {
            switch stream.read(into: surroundings.staging.plaintext, limit: Staging.smallestBatch) {
            case .bytes: continue
            case .wouldBlock: return nil
            case .end(let end): return end
            }
        }
        stream.transport.wake()
        return nil
    }

    private static let droppedReadsPerTurn = 8
    /// What has moved more bytes than this can wait a millisecond.
    private static let bulk = 1024 * 1024

    /// During a download the client has nothing to say but that it is gone.
    private func watchClient() {
        guard let stream = client.stream, !hasSinkEnded, let sinkEnd = listenToSink(stream) else { return }
        hasSinkEnded = true
        switch sinkEnd {
        case .failed(.keysAreFixed): end(.failed(.keysAreFixed, bytes: bytesMoved))
        case .failed: end(.failed(.clientClosedEarly, bytes: bytesMoved))
        // In the clear it may go on reading; if not, the next bytes meet a RST.
        case .fin: break
        default: relay?.refusesMore = true
        }
    }

    /// During an upload the backend has nothing to say: a reset means that it wants no more. After its FIN it may go on
    /// reading; if not, the next bytes meet a RST.
    private func watchBackend() {
        guard let stream = backend.stream, !hasSinkEnded, let sinkEnd = listenToSink(stream) else { return }
        hasSinkEnded = true
        if case .failed = sinkEnd { end(.failed(.backendBroke, bytes: bytesMoved)) }
    }

    // MARK: - The end of a download

    private func downloadEnded(_ ending: Relay.Ending) {
        switch ending {
        case .sinkFailed: end(.failed(.clientClosedEarly, bytes: bytesMoved))
        case .keysUsedUp: end(.failed(.keysUsedUp, bytes: bytesMoved))
        case .sourceEnded(.fin):
            isEnding = true
            finishEnding()
        case .sourceEnded: end(.failed(.backendBroke, bytes: bytesMoved))
        }
    }

    // MARK: - The end of an upload

    private func uploadEnded(_ ending: Relay.Ending) {
        switch ending {
        case .sinkFailed, .keysUsedUp: end(.failed(.backendBroke, bytes: bytesMoved))
        case .sourceEnded(.fin), .sourceEnded(.closeNotify):
            client.stream?.sendCloseNotify()
            isEnding = true
            finishEnding()
        case .sourceEnded(.truncated(atRecordBoundary: true)) where forgivesMissingCloseNotify:
            client.noteForgiven(bytes: bytesMoved)
            isEnding = true
            finishEnding()
        case .sourceEnded(.truncated(let atRecordBoundary)):
            end(.failed(atRecordBoundary ? .uploadTruncated : .uploadCut, bytes: bytesMoved))
        case .sourceEnded(.failed(let error)):
            guard case .transport = error else { return end(.failed(.tlsFailed("\(error)"), bytes: bytesMoved)) }
            end(.failed(.uploadReset(wasProtected: client.stream?.tls != nil), bytes: bytesMoved))
        }
    }

    /// Everything is said; it remains that the kernel takes it.
    private func finishEnding() {
        guard !hasEnded, let client = client.stream, let backend = backend.stream else { return }
        let sink = direction == .download ? client : backend
        guard sink.flush() else {
            if sink.sendFailure != nil {
                end(.failed(direction == .download ? .clientClosedEarly : .backendBroke, bytes: bytesMoved))
            }
            return
        }
        sink.transport.finishWriting()
        end(.completed(bytes: bytesMoved))
    }

    // MARK: - Putting away

    private func end(_ outcome: DataOutcome) {
        guard !hasEnded else { return }
        hasEnded = true
        clock?.cancel()
        countKernel()
        switch outcome {
        case .completed:
            release(client.stream) { surroundings.linger($0) }
            release(backend.stream) { surroundings.linger($0) }
            client.handOver()
            backend.handOver()
        case .failed(.backendBroke, _) where direction == .upload:
            // The client goes on sending until it has read the reply.
            swallowClient()
            backend.reset()
        case .failed(let failure, let bytes):
            client.reset()
            // An upload that was cut is reset before its ABOR goes out.
            let isCutUpload = direction == .upload && failure.isIncompleteUpload
            bytes == 0 && !isCutUpload ? backend.resetWhenAccepted() : backend.reset()
        }
        onEvent(.dataEnded(outcome))
    }

    /// With `--ktls`, which downloads the kernel has encrypted.
    private func countKernel() {
        guard relay != nil, direction == .download, surroundings.configuration.usesKernelTLS, let tls = client.stream?.tls else {
            return
        }
        surroundings.log.metrics.add(.encryptedDownloads, ["by": tls.sendsInKernel ? "kernel" : "gateway"])
    }

    private func release(_ stream: Stream?, _ body: (Stream) -> Void) {
        if let stream { body(stream) }
    }

    private func swallowClient() {
        guard let stream = client.stream else { return client.reset() }
        client.handOver()
        surroundings.swallow(stream)
    }

    /// As the session says; nothing is reported any more.
    func end(_ ending: DataEnding) {
        if !hasEnded { countKernel() }
        hasEnded = true
        clock?.cancel()
        switch ending {
        case .abandon:
            client.reset()
            backend.reset()
        case .abort: client.reset()
        case .abandonBackend: backend.reset()
        case .drainClient:
            swallowClient()
            backend.reset()
        }
    }

    // MARK: - The clock

    /// `--data-timeout`: from the promise of a data connection to its start, and then without a byte moved. Looked at several
    /// times within the limit, so that a stall is found soon after it.
    private func startClock() {
        let limit = surroundings.configuration.timeouts.data
        lastProgress = surroundings.scheduler.now
        guard limit > .zero, clock == nil else { return }
        clock = surroundings.scheduler.makeTimer { [unowned self] in checkProgress(limit) }
        clock?.start(after: limit / 4)
    }

    private func checkProgress(_ limit: Duration) {
        let progress = bytesMoved - (relay?.unsentCount ?? 0)
        let now = surroundings.scheduler.now
        if progress != progressAtLastLook {
            progressAtLastLook = progress
            lastProgress = now
        }
        guard now - lastProgress >= limit else {
            clock?.start(after: limit / 4)
            return
        }
        end(.failed(relay == nil ? client.absence ?? backend.absence ?? .stalled : .stalled, bytes: bytesMoved))
    }
}
