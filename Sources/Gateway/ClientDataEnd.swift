import FTPSession
import NetIO
import PKI
import TLS
import Telemetry
import Wire

/// The client's end of one data connection: waited for or dialled, its TLS handshake served whenever it comes, and judged.
///
/// Several connections may come for it, since anybody can connect to a port: each shakes hands for itself, the first that is
/// good is the one, and the others are reset.
final class ClientDataEnd {
    private enum Way {
        case unused
        /// A passive port is promised, or will be.
        case passive(PassivePorts.Reservation)
        /// The client listens, and is dialled when the session says so.
        case planned(SocketAddress)
        case dialling(SocketAddress, any ConnectAttempt)
        /// Connected: nothing is waited for but the handshake.
        case reached
    }

    /// What the end needs to know of its session.
    struct Binding {
        /// The control connection's.
        let tag: SessionTag
        let lineage: SessionTag
        let user: String
        let client: SocketAddress
        /// Which of ours the client has connected to.
        let controlPort: UInt16
        /// What a 227 names; nil where there is no such address.
        let passiveAddress: IPAddress?
        /// The control connection's client certificate.
        let certificate: [UInt8]?
        /// CCC has ended TLS on the control connection: from then on the address alone binds.
        let isControlCleared: Bool
        /// The rules that the control connection came under; nil where it was never encrypted.
        let terms: TLSConnection.Terms?
        /// For the log.
        let session: String
        let habit: DataHabit
    }

    /// The stream, once it may be used.
    private(set) var stream: Stream?
    private var way = Way.unused
    private var attempts: [DataHandshake] = []
    private let surroundings: Surroundings
    private let binding: Binding
    private let isProtected: () -> Bool
    private var silenceClock: (any NetIO.Timer)?
    private var queueClock: (any NetIO.Timer)?
    private var turnedAwayClock: (any NetIO.Timer)?
    /// Whether a transfer waits for the client: silence counts from then on.
    private var isAwaited = false
    private var hasBegun = false
    private var isGone = false
    /// Where the client is told to connect to.
    private var promised: SocketAddress?

    var onPromised: ((SocketAddress) -> Void)?
    var onNoPort: (() -> Void)?
    var onBegan: (() -> Void)?
    var onReady: (() -> Void)?
    var onFailure: ((DataFailure) -> Void)?

    /// Connections that may shake hands for one data connection at a time.
    private static let attemptLimit = 4

    init(_ surroundings: Surroundings, binding: Binding, isProtected: @escaping () -> Bool) {
        self.surroundings = surroundings
        self.binding = binding
        self.isProtected = isProtected
    }

    private var client: IPAddress { binding.client.ip.unmapped }

    // MARK: - Passive: the client connects

    /// - Parameter local: the address that the control connection came to.
    func listen(at local: IPAddress) {
        let wish = WaitingPlans.Wish(
            worker: surroundings.worker, client: client, tag: binding.tag, lineage: binding.lineage, user: binding.user,
            isProtected: isProtected(), isTellable: binding.habit.resumes && !binding.isControlCleared)
        let reservation = surroundings.passivePorts.reserve(
            wish,
            PassivePorts.Handlers(
                onPromised: { [weak self] in self?.promise($0, at: local) },
                onArrived: { [weak self] in self?.arrived() },
                onConnected: { [weak self] in self?.connected($0, needsProof: $1) },
                onLeft: { [weak self] in self?.left() },
                onTurnedAway: { [weak self] in self?.turnedAway() }))
        way = .passive(reservation)
        if let port = reservation.port {
            // Whoever asked for it is still busy with asking.
            surroundings.scheduler.later { [weak self] in self?.promise(port, at: local) }
        } else {
            startQueueClock()
        }
    }

    /// Every port is promised to other sessions of this address: for how long the client's PASV is held.
    private func startQueueClock() {
        let limit = surroundings.configuration.timeouts.data
        queueClock = start(after: limit > .zero ? limit : .seconds(300)) { [unowned self] in
            guard promised == nil else { return }
            leave()
            onNoPort?()
        }
    }

    private func promise(_ port: UInt16, at local: IPAddress) {
        guard case .passive = way, promised == nil else { return }
        queueClock = nil
        let told = local.unmapped.family == .v4 ? binding.passiveAddress ?? local.unmapped : local
        let address = SocketAddress(ip: told, port: surroundings.configuration.toldPort(port))
        promised = address
        onPromised?(address)
    }

    /// A connection is here that has said nothing.
    private func arrived() {
        if isAwaited { startSilenceClock() }
    }

    /// A connection that had said nothing is gone, and has spent nobody's promise.
    private func left() {
        guard isAwaited, attempts.isEmpty, !hasSilentConnection else { return }
        fail(.noHandshake)
    }

    /// One that may have been ours was turned away. If ours does not come soon, it was.
    private func turnedAway() {
        guard isAwaited, turnedAwayClock == nil else { return }
        let limit = surroundings.configuration.timeouts.handshake
        turnedAwayClock = start(after: limit > .zero ? limit : .seconds(10)) { [unowned self] in
            turnedAwayClock = nil
            if attempts.isEmpty { fail(.ambiguousSession) }
        }
    }

    private var hasSilentConnection: Bool {
        if case .passive(let reservation) = way { reservation.hasSilentConnection } else { false }
    }

    /// PROT has come between PASV and the connection.
    func protectionChanged() {
        if case .passive(let reservation) = way { surroundings.passivePorts.setProtected(isProtected(), reservation) }
    }

    // MARK: - Active: the client is dialled

    func plan(_ address: SocketAddress) { way = .planned(address) }

    /// Connects to the client, which waits for it.
    func dial(from local: SocketAddress) {
        guard case .planned(let address) = way else { return }
        let attempt = surroundings.network.connect(
            to: address, from: source(local, for: address), within: surroundings.configuration.timeouts.connect
        ) { [weak self] result in
            guard let self else { return }
            switch result {
            case .connected(let transport):
                way = .reached
                connected(transport, needsProof: false)
            case .failed(SystemError.connectionRefused): fail(.clientRefused(address, reason: "connection refused"))
            case .failed(let code): fail(.clientUnreachable(address, reason: SystemError.text(code)))
            case .timedOut: fail(.clientUnreachable(address, reason: "no answer in time"))
            }
        }
        way = .dialling(address, attempt)
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

    // MARK: - Shaking hands

    private func connected(_ transport: any Transport, needsProof: Bool) {
        guard !isGone, stream == nil, attempts.count < Self.attemptLimit else { return transport.reset() }
        guard isProtected() else {
            begin()
            return accept(Stream(transport, staging: surroundings.staging))
        }
        let attempt = DataHandshake(
            transport, surroundings, needsProof: needsProof, terms: binding.terms, accepts: { [tag = binding.tag] in $0 == tag },
            onBegan: { [weak self] in self?.begin() }, onEnd: { [weak self] in self?.ended($0, $1) })
        attempts.append(attempt)
        if isAwaited { startSilenceClock() }
        attempt.start()
    }

    private func begin() {
        guard !hasBegun else { return }
        hasBegun = true
        onBegan?()
    }

    /// A transfer is under way: from now on the client's silence is a failure.
    func await() {
        isAwaited = true
        if hasSilentConnection || attempts.contains(where: { !$0.hasBegun }) { startSilenceClock() }
    }

    private func startSilenceClock() {
        let limit = surroundings.configuration.timeouts.handshake
        guard silenceClock == nil, limit > .zero else { return }
        silenceClock = start(after: limit) { [unowned self] in
            silenceClock = nil
            // A handshake that has begun has a clock of its own.
            if !attempts.contains(where: \.hasBegun) { fail(.noHandshake) }
        }
    }

    private func ended(_ attempt: DataHandshake, _ ending: DataHandshake.Ending) {
        guard let index = attempts.firstIndex(where: { $0 === attempt }) else { return }
        attempts.remove(at: index)
        // It is running at this moment.
        surroundings.scheduler.later { _ = attempt }
        let failure: DataFailure
        switch ending {
        case .done(let facts):
            surroundings.log.metrics.countHandshake(facts, channel: "data")
            guard let refusal = judge(facts, attempt) else { return accept(attempt.stream) }
            failure = refusal
        case .nothingCame:
            if case .passive = way {
                attempt.reset()
                return left()
            }
            failure = .noHandshake
        case .tookTooLong: failure = .handshakeTimeout
        case .failed(let error):
            if case .certificateRejected(let rejection, let subject) = error {
                surroundings.log.rejected(rejection, of: subject, client: binding.client, session: binding.session, "data")
            }
            failure = .handshakeFailed("\(error)")
        }
        surroundings.linger(attempt.stream)
        // Whoever comes from elsewhere with a ticket that he cannot use has nothing to do with the client.
        let isStranger = attempt.stream.transport.peerAddress.ip.unmapped != client
        if isStranger || !attempts.isEmpty {
            surroundings.log.info(
                "data.turned_away",
                [
                    "reason": .string(failure.label), "client": .string("\(attempt.stream.transport.peerAddress)"),
                    "port": .integer(Int(attempt.stream.transport.localPort)), "id": .string(binding.session),
                    "detail": failure.detail.map { .string($0) },
                ])
        } else {
            fail(failure)
        }
    }

    /// Whether this is the client of the control connection (`--data-session`, DESIGN 3.11.1).
    private func judge(_ facts: TLSConnection.Facts, _ attempt: DataHandshake) -> DataFailure? {
        if let certificate = binding.certificate, facts.clientCertificate?.der != certificate { return .certificateDiffers }
        if facts.isResumed, facts.sessionTag == binding.tag {
            binding.habit.resumes = true
            return nil
        }
        // The address alone says who it is: it must be the client's, and say it of nobody else.
        if attempt.needsProof {
            guard attempt.stream.transport.peerAddress.ip.unmapped == client, case .passive(let reservation) = way,
                surroundings.passivePorts.isSole(reservation)
            else { return .ambiguousSession }
        }
        binding.habit.resumes = false
        let refusal: DataFailure = attempt.offeredForeignSession ? .foreignSession : .notResumed
        switch surroundings.configuration.dataSession(for: client, at: binding.controlPort) {
        case .require where !binding.isControlCleared: return refusal
        case .prefer where !binding.isControlCleared:
            // Counted, so that the operator sees whom `require` would keep out.
            surroundings.log.info(
                "data.would_be_refused",
                [
                    "id": .string(binding.session), "client": .string("\(binding.client)"), "user": .string(binding.user),
                    "reason": .string(refusal.label), "by": "--data-session require",
                ])
        default: break
        }
        return nil
    }

    private func accept(_ stream: Stream) {
        let others = attempts
        leave()
        isGone = false
        way = .reached
        self.stream = stream
        stream.transport.onReady = { [weak stream] in stream?.flush() }
        for other in others { other.reset() }
        onReady?()
    }

    // MARK: - The end

    /// Why nobody is here, after as long as `--data-timeout` allows.
    var absence: DataFailure? {
        if stream != nil { return nil }
        if attempts.contains(where: \.hasBegun) { return .handshakeTimeout }
        if !attempts.isEmpty || hasSilentConnection { return .noHandshake }
        return switch way {
        case .passive: .clientNeverConnected(promised ?? SocketAddress(ip: client, port: 0))
        case .dialling(let address, _): .clientUnreachable(address, reason: "no answer in time")
        default: nil
        }
    }

    private func fail(_ failure: DataFailure) {
        for attempt in attempts {
            attempt.leave()
            surroundings.linger(attempt.stream)
        }
        leave()
        onFailure?(failure)
    }

    /// Lets go of the stream, which now is somebody else's, and of all else.
    func handOver() {
        leave()
        stream = nil
    }

    /// An upload without close_notify was taken for whole, since the operator says so of this client.
    func noteForgiven(bytes: Int) {
        surroundings.log.info(
            "upload.forgiven",
            [
                "id": .string(binding.session), "client": .string("\(binding.client)"), "user": .string(binding.user),
                "bytes": .integer(bytes), "by": "--upload-eof lenient",
            ])
    }

    /// Ends what there is, at once and with RST.
    func reset() {
        for attempt in attempts { attempt.reset() }
        stream?.transport.reset()
        handOver()
    }

    private func leave() {
        isGone = true
        for clock in [silenceClock, queueClock, turnedAwayClock] { clock?.cancel() }
        switch way {
        case .passive(let reservation): surroundings.passivePorts.release(reservation)
        case .dialling(_, let attempt): attempt.cancel()
        default: break
        }
        way = .unused
        let gone = attempts
        attempts = []
        // One of them may be running.
        if !gone.isEmpty { surroundings.scheduler.later { _ = gone } }
    }

    private func start(after limit: Duration, _ body: @escaping () -> Void) -> any NetIO.Timer {
        let clock = surroundings.scheduler.makeTimer(body)
        clock.start(after: limit)
        return clock
    }
}

/// What a client's data connections have shown so far, over all of one session.
final class DataHabit {
    /// The last one resumed the control connection's TLS session.
    var resumes = false
}
