import NetIO
import Telemetry
import Wire

/// What the server tells a worker.
enum WorkerMessage: Sendable {
    /// An accepted control connection, which is the worker's from here on.
    case connection(descriptor: Int32, peer: SocketAddress, localPort: UInt16?, mode: GatewayConfiguration.Listener.Mode)
    /// An accepted data connection of which nothing has been read: it belongs to one of the worker's sessions.
    case dataConnection(descriptor: Int32, hops: Int)
    /// To one of the worker's sessions.
    case plan(WaitingPlans.Notice)
    /// Passive ports to listen on.
    case passivePorts([ListeningSockets.PassivePort])
    /// The ports that the gateway listens on, now that all are known.
    case ownPorts(OwnPorts)
    /// What new sessions go by from here on.
    case configuration(GatewayConfiguration)
    /// Sessions end when they are idle, and so after their transfers.
    case drain(DrainPace)
    /// Every session ends now.
    case stop
    /// No worker has a session any more: the thread ends.
    case leave
    /// Answer, if your loop turns.
    case ping
}

/// What a worker tells the server.
enum ServerMessage: Sendable {
    /// The last session has ended after `drain`. The worker's ports stay open: sessions of others may wait on them.
    case workerDrained(worker: Int)
    /// The thread is about to end, and nothing of the worker is left.
    case workerEnded(worker: Int)
    /// The answer to `ping`.
    case alive(worker: Int)
}

/// One thread: a loop, its passive ports, its sessions. Nothing of it is shared, so nothing of it is locked; a data connection
/// that comes to the port of one worker and belongs to a session of another goes there unread.
final class Worker {
    private let index: Int
    private let loop: EventLoop
    private let surroundings: Surroundings
    private let plans: WaitingPlans
    private let admission: Admission
    private let server: Mailbox<ServerMessage>
    private var mail: MailboxReader?
    private var passiveListeners: [Listener] = []
    private var sessions: [ObjectIdentifier: ClientConnection] = [:]
    private var undecided: [ObjectIdentifier: FirstByte] = [:]
    private var isEnding = false
    private var trimming: LoopTimer?
    private var isTrimmingDue = false
    /// Sessions at one time, since memory was given back.
    private var peak = 0
    private var lastWords: LoopTimer?

    /// From a session's end until freed memory goes back to the kernel.
    private static let trimDelay: Duration = .seconds(5)
    /// What clients get to read why they were cut off.
    private static let lastWordsLimit: Duration = .milliseconds(300)

    /// What a worker is given at its start.
    struct Outfit: Sendable {
        let index: Int
        let configuration: GatewayConfiguration
        let ownPorts: OwnPorts
        let plans: WaitingPlans
        let admission: Admission
        let log: EventLog
        /// Of all workers, this one included.
        let mailboxes: [Mailbox<WorkerMessage>]
        let server: Mailbox<ServerMessage>
    }

    init(_ outfit: Outfit) throws(SystemError) {
        index = outfit.index
        server = outfit.server
        plans = outfit.plans
        admission = outfit.admission
        let loop = try EventLoop()
        self.loop = loop
        surroundings = Surroundings(
            worker: outfit.index, configuration: outfit.configuration, scheduler: loop, network: SystemNetwork(loop: loop),
            random: SystemRandom(), log: outfit.log, ownPorts: outfit.ownPorts, plans: outfit.plans,
            handOver: { [mailboxes = outfit.mailboxes] transport, worker, hops in
                guard let socket = (transport as? SocketTransport)?.detach() else { return transport.reset() }
                mailboxes[worker].post(.dataConnection(descriptor: socket.take(), hops: hops))
            })
        surroundings.clientStatus = ClientStatusChecker(loop: loop, log: outfit.log)
        trimming = LoopTimer(loop: loop) { [unowned self] in trim() }
        mail = MailboxReader(outfit.mailboxes[index], loop: loop) { [unowned self] in take($0) }
    }

    /// Sessions are promised a port once its connections will have all that they are to have from it.
    private func listen(_ ports: [ListeningSockets.PassivePort]) {
        do throws(SystemError) {
            for descriptor in ports.flatMap(\.descriptors) { try listen(descriptor) }
        } catch {
            surroundings.log.error("worker.failed", ["worker": .integer(index), "reason": .string("\(error)")])
        }
        plans.open(ports.map(\.port), worker: index)
    }

    private func listen(_ descriptor: Int32) throws(SystemError) {
        let socket = Socket(owning: descriptor)
        socket.configureConnection()
        let listener = try Listener(
            socket: socket, loop: loop, acceptsPerTurn: 1,
            onExhausted: { [log = surroundings.log] in
                log.error("accept.exhausted", ["reason": .string("\($0)"), "remedy": "raise the limit of open files"])
            },
            { [unowned self] in acceptData($0, hops: 0) })
        passiveListeners.append(listener)
    }

    private func acceptData(_ socket: consuming Socket, hops: Int) {
        if let transport = try? SocketTransport(socket, loop: loop) { surroundings.passivePorts.accepted(transport, hops: hops) }
    }

    /// Runs until the server says otherwise.
    func run() { loop.run() }

    private func take(_ message: WorkerMessage) {
        switch message {
        case .connection(let descriptor, let peer, let port, let mode):
            accept(Socket(owning: descriptor, peer: peer, localPort: port), peer.ip.unmapped, mode)
        case .dataConnection(let descriptor, let hops): acceptData(Socket(owning: descriptor), hops: hops)
        case .plan(let notice): surroundings.passivePorts.take(notice)
        case .passivePorts(let ports): listen(ports)
        case .ownPorts(let ports): surroundings.ownPorts = ports
        case .configuration(let configuration): surroundings.use(configuration)
        case .drain(let pace):
            isEnding = true
            surroundings.drain = pace
            for session in sessions.values { session.drain() }
            endIfEmpty()
        case .stop: stop()
        case .leave: loop.stop()
        case .ping: server.post(.alive(worker: index))
        }
    }

    private func accept(_ socket: consuming Socket, _ client: IPAddress, _ mode: GatewayConfiguration.Listener.Mode) {
        guard let transport = try? SocketTransport(socket, loop: loop) else { return report(client) }
        let channel = ControlChannel(transport, staging: surroundings.staging)
        guard mode == .explicit, surroundings.configuration.autodetect else {
            return open(channel, isImplicit: mode == .implicit)
        }
        let key = ObjectIdentifier(channel)
        undecided[key] = FirstByte(channel, scheduler: loop) { [unowned self] isImplicit in
            loop.later { [unowned self] in undecided[key] = nil }
            open(channel, isImplicit: isImplicit)
        }
    }

    /// One for all sessions.
    private lazy var sessionEnded: (ClientConnection) -> Void = { [unowned self] session in
        // It is running at this moment.
        loop.later { [unowned self] in
            sessions[ObjectIdentifier(session)] = nil
            report(session.clientAddress.ip.unmapped)
        }
    }

    private func open(_ channel: ControlChannel, isImplicit: Bool) {
        let session = ClientConnection(channel, isImplicit: isImplicit, surroundings, onEnd: sessionEnded)
        sessions[ObjectIdentifier(session)] = session
        peak = max(peak, sessions.count)
        session.start()
        if isEnding { session.drain() }
    }

    private func stop() {
        isEnding = true
        for session in sessions.values { session.stop() }
        surroundings.whenNothingLingers { [unowned self] in loop.stop() }
        let timer = LoopTimer(loop: loop) { [unowned self] in loop.stop() }
        timer.start(after: Self.lastWordsLimit)
        lastWords = timer
    }

    /// What transfers leave is given back at once. To look through all of malloc's memory takes milliseconds: that is done when
    /// half of the sessions have gone.
    private func trim() {
        isTrimmingDue = false
        surroundings.staging.trim()
        guard sessions.count <= peak / 2 else { return }
        peak = sessions.count
        Memory.trim()
    }

    private func report(_ client: IPAddress) {
        admission.left(client, worker: index)
        if !isTrimmingDue {
            isTrimmingDue = true
            trimming?.start(after: Self.trimDelay)
        }
        endIfEmpty()
    }

    /// Replies that are still on their way out get the time that they need.
    private func endIfEmpty() {
        guard isEnding, sessions.isEmpty, undecided.isEmpty else { return }
        surroundings.whenNothingLingers { [unowned self] in
            // Those that have come since then are told to go, too.
            if sessions.isEmpty, undecided.isEmpty { server.post(.workerDrained(worker: index)) }
        }
    }
}
