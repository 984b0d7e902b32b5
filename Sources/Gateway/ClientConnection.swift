import FTPProtocol
import FTPSession
import NetIO
import PKI
import TLS
import Wire

/// One client: turns what happens on its connections into events, and performs what the session makes of them.
///
/// Owned by a worker and confined to its thread. It decides nothing: that is `Session`'s business. Whatever becomes ready calls
/// `run`, which does all that can be done now, one step after the other, and ends with one write per connection.
final class ClientConnection {
    private enum Phase {
        case clear
        case handshaking
        /// The handshake is over, and the client's authority is asked about its certificate (`--client-ocsp`).
        case judging
        case secured
        /// CCC has been answered: the client's close_notify is awaited, and ours goes out with it or a moment later.
        case endingTLS
        case over
    }

    private var session: Session
    private let surroundings: Surroundings
    private let client: ControlChannel
    private var framer: LineFramer
    private var backend: ControlChannel?
    private var parser: ReplyParser
    private var dialling: BackendDialer.Attempt?
    /// The session wants the backend, and there may be more to be heard of the client before.
    private var wantsBackend = false
    private var data: DataChannel?
    private var isDataPrivate = false
    private var clocks = Clocks()
    /// Runs while TLS ends.
    private var closeNotifyTimer: (any NetIO.Timer)?
    /// What comes while something else is being done.
    private var events: [Event] = []
    private var isRunning = false
    private var phase = Phase.clear
    private let isImplicit: Bool
    /// Of the control connection's handshake: what data connections are bound to, behind CCC as well.
    private var handshakeFacts: TLSConnection.Facts?
    /// Once TLS has ended.
    private var formerTerms: TLSConnection.Terms?
    private lazy var habit = DataHabit()
    private let tag = SessionTag.random()
    private let journal: SessionLog
    private let onEnd: (ClientConnection) -> Void

    /// lftp takes our close_notify for the connection's end where its own is not out; curl waits for ours.
    private static let closeNotifyPatience: Duration = .milliseconds(500)
    /// Lines and replies that one turn takes before others have theirs.
    private static let stepsPerTurn = 256
    /// Replies that the client does not read: beyond this the backend is not read either.
    private static let unreadLimit = 64 * 1024

    init(_ client: ControlChannel, isImplicit: Bool, _ surroundings: Surroundings, onEnd: @escaping (ClientConnection) -> Void) {
        let transport = client.stream.transport
        let configuration = surroundings.configuration
        self.client = client
        self.isImplicit = isImplicit
        self.surroundings = surroundings
        self.onEnd = onEnd
        let policy = surroundings.sessionPolicy(for: transport.peerAddress.ip.unmapped, at: transport.localPort)
        let limits = policy.value.limits
        framer = LineFramer(limit: policy.value.controlTLS == .optional ? limits.commandLine : limits.commandLineBeforeTLS)
        parser = ReplyParser(limits: limits.reply)
        session = Session(
            policy: policy,
            facts: Session.Facts(
                client: transport.peerAddress, isImplicit: isImplicit,
                passiveAddress: surroundings.publicAddress.address(
                    for: transport.peerAddress.ip, local: transport.localAddress.ip),
                ownPorts: surroundings.ownPorts.of(transport.peerAddress.ip, local: transport.localAddress.ip),
                canSecure: configuration.tls.canServe))
        let id = String(surroundings.random.number(below: 1 << 40) | 1 << 40, radix: 36)
        journal = SessionLog(id: id, client: transport.peerAddress, log: surroundings.log, scheduler: surroundings.scheduler)
    }

    func start() {
        journal.opened(isImplicit: isImplicit)
        client.stream.transport.onReady = { [unowned self] in run() }
        post(.accepted)
    }

    var clientAddress: SocketAddress { client.stream.transport.peerAddress }

    /// Ends the session once it is idle for a moment (`Surroundings.drain` says how long that is).
    func drain() { post(.drainRequested) }

    /// Ends it now.
    func stop() { post(.clientGone(.shutdown)) }

    private func post(_ event: Event) {
        events.append(event)
        run()
    }

    // MARK: - What can be done

    private func run() {
        guard !isRunning, phase != .over else { return }
        isRunning = true
        defer {
            isRunning = false
            // An idle session keeps neither room for events nor data connections that are over.
            if events.isEmpty, events.capacity > 0 { events = [] }
            if let data, data.hasEnded, !session.needsData { discardDataChannel() }
        }
        var steps = 0
        while steps < Self.stepsPerTurn {
            while steps < Self.stepsPerTurn, step() { steps += 1 }
            guard phase != .over else { return }
            let wasFull = client.unsentCount >= Self.unreadLimit
            // Behind our close_notify nothing is said before the client's.
            if phase == .endingTLS { client.stream.flush() } else { client.flush() }
            backend?.flush()
            if let code = client.stream.sendFailure {
                events.append(.clientGone(.clientReset(errno: code)))
            } else if !wasFull || client.unsentCount >= Self.unreadLimit {
                break
            }
            // There is room again, and no readiness will tell of it.
        }
        // Others have their turn before the rest.
        if steps >= Self.stepsPerTurn { client.stream.transport.wake() }
    }

    /// Does one thing; false when there is nothing to do.
    private func step() -> Bool {
        if phase == .over { return false }
        if !events.isEmpty {
            handle(events.removeFirst())
            return true
        }
        return handshake() || takeFromClient() || takeFromBackend() || connectBackend()
    }

    /// To be called where no other event waits.
    private func handle(_ event: Event) {
        for action in session.handle(event) { perform(action) }
    }

    private func handshake() -> Bool {
        guard phase == .handshaking else { return false }
        switch client.stream.handshake() {
        case .wantsRead, .wantsWrite: return false
        case .done:
            guard let question = client.stream.tls?.statusQuestion, let checker = surroundings.clientStatus else {
                secured()
                return true
            }
            hold(question, checker, surroundings.configuration.tls.store)
        case .failed(let error):
            if case .certificateRejected(let rejection, let subject) = error {
                journal.rejected(rejection, of: subject, "control")
            }
            handle(.clientGone(reason(error)))
        }
        return true
    }

    /// The client is known, and may say what it wants.
    private func secured() {
        phase = .secured
        framer.limit = session.limits.commandLine
        handshakeFacts = client.stream.tls?.facts
        journal.secured(handshakeFacts)
        if let users = certifiedUsers { events.append(.clientCertified(users: users)) }
        events.append(.clientSecured)
    }

    /// Whether the client's authority has revoked its certificate; the clock of the handshake runs on.
    private func hold(_ question: ClientStatusQuestion, _ checker: ClientStatusChecker, _ store: SessionStore) {
        phase = .judging
        checker.ask(question, store) { [weak self] rejection in
            guard let self, phase == .judging else { return }
            if let rejection {
                journal.rejected(rejection, of: question.certificate.subject, "control")
                events.append(.clientGone(.certificateRejected("\(rejection)")))
            } else {
                secured()
            }
            run()
        }
    }

    /// The users that the client's certificate names, where certificates bind logins and one was shown.
    private var certifiedUsers: [String]? {
        let rules = surroundings.configuration.certificateUsers
        guard !rules.isEmpty, let certificate = handshakeFacts?.clientCertificate else { return nil }
        return rules.flatMap { $0.users(of: certificate) }
    }

    private func takeFromClient() -> Bool {
        // A client that reads no replies is given no more of them.
        guard phase != .handshaking, phase != .judging, session.takesCommands, client.unsentCount < Self.unreadLimit else {
            return false
        }
        // What came behind CCC waits until TLS is off.
        if phase != .endingTLS, let line = framer.next() {
            if let event = event(line) { handle(event) }
            return true
        }
        // curl, told to wait for our close_notify, does not answer it.
        if phase == .endingTLS, client.stream.hasLeftTLS {
            leaveTLS()
            return true
        }
        let input = client.receive { bytes in
            if phase == .clear, !session.isSecured, framer.pendingCount == 0, bytes.first == FirstByte.ofTLS {
                events.append(.clientGone(.tlsOnExplicitPort))
            } else {
                framer.append(contentsOf: bytes)
            }
        }
        switch input {
        case .nothing: return false
        case .taken: break
        case .ended(.closeNotify) where phase == .endingTLS:
            endTLS()
            leaveTLS()
        case .ended(.failed(let error)): handle(.clientGone(reason(error)))
        case .ended: handle(.clientGone(.clientClosed))
        }
        return true
    }

    private func event(_ line: LineFramer.Line) -> Event? {
        guard case .line(let bytes) = line else { return .clientSentMalformed(.tooLong) }
        switch Command.parse(bytes) {
        case .command(let command):
            journal.command(command)
            return .clientSent(command)
        case .empty: return .clientSentMalformed(.empty)
        case .illegalCharacter: return .clientSentMalformed(.illegalCharacter)
        case .telnetOnly: return nil
        }
    }

    private func takeFromBackend() -> Bool {
        guard let backend, client.unsentCount < Self.unreadLimit else { return false }
        switch parser.next() {
        case .reply(let reply): handle(.backendSent(reply))
        case .notAReply: handle(.backendSentNonsense)
        case .tooLong: handle(.backendSentEndlessReply)
        case nil:
            if let part = parser.takePart() {
                handle(.backendSentPart(code: part.code, bytes: part.bytes))
                return true
            }
            switch backend.receive({ parser.append(contentsOf: $0) }) {
            case .nothing: return false
            case .taken: break
            case .ended:
                backend.stream.transport.close()
                self.backend = nil
                handle(.backendClosed)
            }
        }
        return true
    }

    private func reason(_ error: TLSError) -> CloseReason {
        switch error {
        case .transport(let errno): .clientReset(errno: errno)
        case .disconnected: .clientClosed
        case .certificateRejected(let rejection, _): .certificateRejected("\(rejection)")
        default: .tlsFailed("\(error)")
        }
    }

    // MARK: - What the session wants done

    private func perform(_ action: Action) {
        switch action {
        case .replyToClient(let reply):
            journal.reply(reply)
            client.say(reply.bytes)
        case .relayToClient(let bytes): client.say(bytes)
        case .startTLS: startTLS()
        case .stopTLS:
            client.flush()
            phase = .endingTLS
            closeNotifyTimer = surroundings.scheduler.makeTimer { [unowned self] in endTLS() }
            closeNotifyTimer?.start(after: Self.closeNotifyPatience)
        case .issueTicket: client.issueTicket()

        case .connectBackend: wantsBackend = true
        case .sendToBackend(let command): backend?.say(line: command.line)
        case .remember(let memory):
            if let backend { surroundings.backend.remember(memory, of: backend.stream.transport.peerAddress) }

        case .listenForClient: dataChannel()?.client.listen(at: client.stream.transport.localAddress.ip)
        case .planClient(let address): dataChannel()?.client.plan(address)
        case .dialClient: data?.client.dial(from: client.stream.transport.localAddress)
        case .dialBackendData(let address): dataChannel()?.backend.dial(address)
        case .listenForBackend(let family): dataChannel()?.backend.listen(family)
        case .protectData(let isPrivate):
            isDataPrivate = isPrivate
            data?.client.protectionChanged()
        case .awaitClientData: data?.awaitClient()
        case .startRelay(let direction, let announcement):
            journal.transferStarts()
            data?.start(direction, announcement)
        case .endData(let ending): data?.end(ending)

        case .setTimer(let timer): if let limit = limit(of: timer) { start(timer, limit) }
        case .cancelTimer(let timer): clocks.cancel(timer)
        case .note(let note): journal.note(note, moved: data?.bytesMoved ?? 0)
        case .close(let reason): close(reason)
        }
    }

    private func startTLS() {
        // Bytes that came before our 234 were sent in the clear by whoever sat on the line; as commands behind TLS they would
        // pass for the client's own (CVE-2011-0411 and its kin).
        if !isImplicit, framer.pendingCount > 0 || client.stream.firstUnreadByte() != nil {
            client.fallSilent()
            events.append(.clientGone(.pipelinedBeforeTLS))
            return
        }
        client.flush()
        let owner = SessionOwner(UInt32(surroundings.worker))
        client.stream.startTLS(surroundings.configuration.tls, .control(tag: tag, owner: owner))
        phase = .handshaking
    }

    /// Says that nothing more comes within TLS.
    private func endTLS() {
        guard phase == .endingTLS else { return }
        client.stream.sendCloseNotify()
    }

    private func leaveTLS() {
        closeNotifyTimer?.cancel()
        formerTerms = client.stream.tls?.terms
        client.stream.stopTLS()
        phase = .clear
    }

    /// Not before all has been read that the client has sent so far: many a scanner is gone once it has seen the certificate.
    private func connectBackend() -> Bool {
        guard wantsBackend else { return false }
        wantsBackend = false
        dialling = surroundings.backend.dial { [unowned self] result in
            dialling = nil
            switch result {
            case .success(let transport):
                transport.onReady = client.stream.transport.onReady
                backend = ControlChannel(transport, staging: surroundings.staging)
                let address = transport.peerAddress
                post(.backendConnected(BackendFacts(address: address, memory: surroundings.backend.memory(of: address))))
            case .failure(let problem):
                journal.backendUnavailable(problem)
                post(problem.isTimeout ? .backendConnectTimedOut : .backendUnavailable(problem.reason))
            }
        }
        return true
    }

    /// The one of the current plan; made for its first action.
    private func dataChannel() -> DataChannel? {
        if let data, !data.hasEnded { return data }
        guard let control = backend?.stream.transport else { return nil }
        let peer = client.stream.transport.peerAddress
        let binding = ClientDataEnd.Binding(
            tag: tag, lineage: handshakeFacts?.lineage ?? tag, user: session.user ?? "", client: peer,
            controlPort: client.stream.transport.localPort, passiveAddress: session.passiveAddress,
            certificate: handshakeFacts?.clientCertificate?.der, isControlCleared: session.isCleared,
            terms: client.stream.tls?.terms ?? formerTerms, session: journal.id, habit: habit)
        let channel = DataChannel(
            surroundings,
            client: ClientDataEnd(surroundings, binding: binding, isProtected: { [unowned self] in isDataPrivate }),
            backend: BackendDataEnd(surroundings, control: control),
            forgivesMissingCloseNotify: surroundings.configuration.session.uploadEOF.forgives(peer.ip)
        ) { [weak self] event in self?.post(event) }
        discardDataChannel()
        data = channel
        return channel
    }

    private func discardDataChannel() {
        guard let old = data else { return }
        data = nil
        // One of its own callbacks may be running.
        surroundings.scheduler.later { _ = old }
    }

    // MARK: - Clocks

    private func start(_ timer: FTPSession.Timer, _ limit: Duration) {
        let scheduler = surroundings.scheduler
        clocks.start(timer, limit: limit, scheduler) { scheduler.makeTimer { [unowned self] in ring() } }
    }

    private func ring() {
        // Whoever is called may start and cancel clocks.
        while let timer = clocks.takeDue(surroundings.scheduler) { post(.timerFired(timer)) }
    }

    /// Nil where the operator has switched the clock off with 0.
    private func limit(of timer: FTPSession.Timer) -> Duration? {
        let timeouts = surroundings.configuration.timeouts
        let limit: Duration =
            switch timer {
            case .login: timeouts.login
            case .handshake: timeouts.handshake
            case .idle: timeouts.idle
            // PROTOCOL 2: slow backends take their time to greet.
            case .greeting: timeouts.connect + .seconds(30)
            case .reply: timeouts.reply
            case .dataSettle: .milliseconds(200)
            case .quit: .seconds(2)
            case .abortGrace: .seconds(1)
            case .abortWindow: .milliseconds(250)
            case .abortReply: .seconds(10)
            case .afterFailure: .seconds(5)
            case .drain: surroundings.drain?.grace(at: surroundings.scheduler.now, surroundings.random) ?? .zero
            }
        return limit > .zero ? limit : nil
    }

    // MARK: - The end

    private func close(_ reason: CloseReason) {
        let wasSecured = phase == .secured || phase == .judging
        let isEndingTLS = phase == .endingTLS
        phase = .over
        events = []
        clocks.cancelAll()
        closeNotifyTimer?.cancel()
        dialling?.cancel()
        if let data, !data.hasEnded { data.end(.abandon) }
        discardDataChannel()
        backend?.flush()
        backend?.stream.transport.close()
        if case .clientReset = reason {
            client.stream.transport.close()
        } else {
            if !isEndingTLS { client.flush(moreFollows: wasSecured) }
            if wasSecured || isEndingTLS { client.stream.sendCloseNotify(isLast: true) }
            surroundings.linger(client.stream)
        }
        journal.closed(reason)
        onEnd(self)
    }
}

extension SessionPolicy.UploadEOF {
    /// Whether an upload of this client may end without close_notify.
    func forgives(_ client: IPAddress) -> Bool {
        switch self {
        case .strict: false
        case .lenient(let networks): networks.isEmpty || networks.contains { $0.contains(client) }
        }
    }
}
