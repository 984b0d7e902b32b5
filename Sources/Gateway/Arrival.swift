import NetIO
import TLS
import Wire

/// A connection on a passive port of which it is not known whose it is: its ClientHello is waited for, and looked into unread.
final class Arrival {
    let transport: any Transport
    /// How often it has gone from one worker to another.
    let hops: Int
    private let scheduler: any Scheduler
    private let patience: Duration
    private var clock: (any NetIO.Timer)?
    private var hasSpoken = false
    private var isOver = false

    /// The client has begun; nil where it does not speak TLS.
    var onShown: ((ClientHello?) -> Void)?
    /// It has said nothing for a while, and its time is not over: does anybody still wait for it?
    var onSilence: (() -> Void)?
    /// It is gone before it has shown anything, or takes too long.
    var onGone: (() -> Void)?

    /// - Parameter patience: from the first byte to the last of a ClientHello; zero means without end.
    init(_ transport: any Transport, hops: Int, scheduler: any Scheduler, patience: Duration) {
        self.transport = transport
        self.hops = hops
        self.scheduler = scheduler
        self.patience = patience
    }

    func start() {
        transport.onReady = { [unowned self] in look() }
        clock = scheduler.makeTimer { [unowned self] in ring() }
        startClock()
        transport.wake()
    }

    /// Lets go of the connection, which is somebody else's from here on.
    func leave() {
        isOver = true
        clock?.cancel()
        transport.onReady = nil
    }

    func reset() {
        leave()
        transport.reset()
    }

    private func look() {
        guard !isOver else { return }
        let reading = withUnsafeTemporaryAllocation(byteCount: ClientHello.limit, alignment: 1) {
            buffer -> ClientHello.Reading? in
            guard case .bytes(let count) = transport.peek(into: buffer) else { return nil }
            return ClientHello.read(Array(buffer[..<count]))
        }
        switch reading {
        case .whole(let hello): shown(hello)
        case .notTLS, .unreadable: shown(nil)
        case .incomplete:
            if !hasSpoken {
                hasSpoken = true
                startClock()
            }
        case nil: lookForEnd()
        }
    }

    private func lookForEnd() {
        let result = withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { transport.peek(into: $0) }
        switch result {
        case .bytes, .wouldBlock: return
        case .endOfStream, .failed: gone()
        }
    }

    private func shown(_ hello: ClientHello?) {
        leave()
        onShown?(hello)
    }

    private func gone() {
        leave()
        onGone?()
    }

    private func startClock() {
        if patience > .zero { clock?.start(after: patience) }
    }

    private func ring() {
        if hasSpoken { return gone() }
        startClock()
        onSilence?()
    }
}
