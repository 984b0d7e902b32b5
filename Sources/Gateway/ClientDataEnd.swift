import FTPSession
import NetIO
import PKI
import TLS
import Telemetry
import Wire

/// The client's end of one data connection: waited for or dialled, its TLS handshake served whenever it comes, and judged.
final class ClientDataEnd {
    enum State {
        case unused
        /// A passive port is promised, or will be.
        case waiting(PassivePorts.Reservation)
        /// The client listens, and is dialled when the session says so.
        case planned(SocketAddress)
        case dialling(SocketAddress, any ConnectAttempt)
        /// Connected; where TLS is due, the client has not begun it.
        case connected(Stream)
        case handshaking(Stream)
        case ready(Stream)
        case gone
    }

    /// What the end needs to know of its session.
    struct Binding {
        /// The control connection's.
        let tag: SessionTag
        let client: SocketAddress
        /// The control connection's client certificate.
        let certificate: [UInt8]?
        /// CCC has ended TLS on the control connection: from then on the address alone binds.
        let isControlCleared: Bool
        /// The rules that the control connection came under; nil where it was never encrypted.
        let terms: TLSConnection.Terms?
        /// For the log.
        let session: String
    }

    private(set) var state = State.unused
    private let surroundings: Surroundings
    private let binding: Binding
    private let isProtected: () -> Bool
    private var handshakeTimer: (any NetIO.Timer)?
    private var queueTimer: (any NetIO.Timer)?
    /// The client offered a TLS session of another control connection; it was declined.
    private var offeredForeignSession = false
    /// Whether a transfer waits for the client: silence counts from then on.
    private var isAwaited = false
    /// Where the client is to connect to.
    private var promised: SocketAddress?

    var onPromised: ((SocketAddress) -> Void)?
    var onNoPort: (() -> Void)?
    var onBegan: (() -> Void)?
    var onReady: (() -> Void)?
    var onFailure: ((DataFailure) -> Void)?

    init(_ surroundings: Surroundings, binding: Binding, isProtected: @escaping () -> Bool) {
        self.surroundings = surroundings
        self.binding = binding
        self.isProtected = isProtected
    }

    /// The stream, once it may be used.
    var stream: Stream? { if case .ready(let stream) = state { stream } else { nil } }

    /// - Parameter local: the address that the control connection came to.
    func listen(at local: IPAddress) {
        let reservation = surroundings.passivePorts.reserve(
            for: binding.client.ip,
            onPromised: { [weak self] port in
                // The reservation is not ours yet when a port is free at once.
                self?.surroundings.scheduler.later { self?.promise(SocketAddress(ip: local, port: port)) }
            },
            onConnected: { [weak self] transport in self?.connected(transport) })
        state = .waiting(reservation)
        if reservation.port == nil { startQueueClock() }
    }

    /// Every port is promised to another session of this address: for how long the client's PASV is held.
    private func startQueueClock() {
        queueTimer = surroundings.scheduler.makeTimer { [unowned self] in
            guard case .waiting = state, promised == nil else { return }
            leave()
            onNoPort?()
        }
        let limit = surroundings.configuration.timeouts.data
        queueTimer?.start(after: limit > .zero ? limit : .seconds(300))
    }

    private func promise(_ address: SocketAddress) {
        guard case .waiting = state else { return }
        queueTimer = nil
        promised = address
        onPromised?(address)
    }

    func plan(_ address: SocketAddress) { state = .planned(address) }

    /// Connects to the client, which waits for it.
    func dial(from local: SocketAddress) {
        guard case .planned(let address) = state else { return }
        let attempt = surroundings.network.connect(
            to: address, from: source(local, for: address), within: surroundings.configuration.timeouts.connect
        ) { [weak self] result in
            guard let self else { return }
            switch result {
            case .connected(let transport): connected(transport)
            case .failed(SystemError.connectionRefused): fail(.clientRefused(address, reason: "connection refused"))
            case .failed(let code): fail(.clientUnreachable(address, reason: SystemError.text(code)))
            case .timedOut: fail(.clientUnreachable(address, reason: "no answer in time"))
            }
        }
        state = .dialling(address, attempt)
    }

    /// From the address that the client knows, so that its firewall lets us in.
    private func source(_ local: SocketAddress, for address: SocketAddress) -> SocketAddress? {
        var port: UInt16 = 0
        if case .range(let range) = surroundings.configuration.activeSourcePort {
            port = range.lower + UInt16(surroundings.random.number(below: range.count))
        }
        guard local.ip.family == address.ip.family else { return nil }
        return SocketAddress(ip: local.ip, port: port, scope: local.scope)
    }

    private func connected(_ transport: any Transport) {
        let stream = Stream(transport, staging: surroundings.staging)
        transport.onReady = { [unowned self] in pump() }
        guard isProtected() else {
            state = .ready(stream)
            onBegan?()
            onReady?()
            return
        }
        stream.startTLS(
            surroundings.configuration.tls,
            .data(
                accepts: { [weak self, tag = binding.tag] offered in
                    if offered != tag { self?.offeredForeignSession = true }
                    return offered == tag
                }, terms: binding.terms))
        state = .connected(stream)
        if isAwaited { startHandshakeClock() }
        pump()
    }

    /// A transfer is under way: from now on the client's silence is a failure.
    func await() {
        isAwaited = true
        if case .connected = state { startHandshakeClock() }
    }

    /// Nobody has come and nothing was begun for as long as `--data-timeout` allows.
    var absence: DataFailure? {
        switch state {
        case .waiting: .clientNeverConnected(promised ?? SocketAddress(ip: binding.client.ip, port: 0))
        case .connected: .noHandshake
        case .handshaking: .handshakeTimeout
        default: nil
        }
    }

    private func startHandshakeClock() {
        let limit = surroundings.configuration.timeouts.handshake
        guard handshakeTimer == nil, limit > .zero else { return }
        handshakeTimer = surroundings.scheduler.makeTimer { [unowned self] in
            if let absence { fail(absence) }
        }
        handshakeTimer?.start(after: limit)
    }

    private func pump() {
        switch state {
        case .connected(let stream), .handshaking(let stream): advance(stream)
        case .ready(let stream): stream.flush()
        default: break
        }
    }

    private func advance(_ stream: Stream) {
        let step = stream.handshake()
        if case .connected = state, stream.receivedCount > 0 {
            state = .handshaking(stream)
            startHandshakeClock()
            onBegan?()
        }
        switch step {
        case .wantsRead, .wantsWrite: stream.flush()
        case .failed(let error):
            if case .connected = state { return fail(.noHandshake) }
            if case .certificateRejected(let rejection, let subject) = error {
                surroundings.log.rejected(rejection, of: subject, client: binding.client, session: binding.session, "data")
            }
            fail(.handshakeFailed("\(error)"))
        case .done:
            handshakeTimer?.cancel()
            if let facts = stream.tls?.facts { surroundings.log.metrics.countHandshake(facts, channel: "data") }
            if let failure = judge(stream) { return fail(failure) }
            state = .ready(stream)
            onReady?()
        }
    }

    /// Whether this is the client of the control connection (`--data-session`, DESIGN 3.11.1). Its address is the client's: the
    /// passive port saw to that.
    private func judge(_ stream: Stream) -> DataFailure? {
        guard let facts = stream.tls?.facts else { return .handshakeFailed("no facts about the handshake") }
        if let certificate = binding.certificate, facts.clientCertificate?.der != certificate { return .certificateDiffers }
        guard surroundings.configuration.dataSession == .require, !binding.isControlCleared else { return nil }
        if facts.isResumed, facts.sessionTag == binding.tag { return nil }
        return offeredForeignSession || facts.isResumed ? .foreignSession : .notResumed
    }

    private func fail(_ failure: DataFailure) {
        switch state {
        case .connected(let stream), .handshaking(let stream): surroundings.linger(stream)
        default: break
        }
        leave()
        onFailure?(failure)
    }

    /// Lets go of everything but the stream, which now is somebody else's.
    func handOver() {
        state = .gone
        handshakeTimer?.cancel()
        queueTimer?.cancel()
    }

    /// Ends what there is, at once and with RST.
    func reset() {
        switch state {
        case .connected(let stream), .handshaking(let stream), .ready(let stream): stream.transport.reset()
        default: break
        }
        leave()
    }

    private func leave() {
        switch state {
        case .waiting(let reservation): surroundings.passivePorts.release(reservation)
        case .dialling(_, let attempt): attempt.cancel()
        default: break
        }
        handOver()
    }
}
