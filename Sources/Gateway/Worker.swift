import NetIO
import Telemetry
import Wire

/// What the server tells a worker.
enum WorkerMessage: Sendable {
    /// An accepted control connection, which is the worker's from here on.
    case connection(descriptor: Int32, mode: GatewayConfiguration.Listener.Mode)
    /// What new sessions go by from here on.
    case configuration(GatewayConfiguration)
    /// Sessions end when they are idle, and so after their transfers.
    case drain(DrainPace)
    /// Every session ends now.
    case stop
    /// Answer, if your loop turns.
    case ping
}

/// What a worker tells the server.
enum ServerMessage: Sendable {
    case sessionEnded(worker: Int, client: IPAddress)
    /// The last session has ended after `drain` or `stop`, and nothing of the worker is left.
    case workerEnded(worker: Int)
    /// The answer to `ping`.
    case alive(worker: Int)
}

/// One thread: a loop, its passive ports, its sessions. Nothing of it is shared, so nothing of it is locked.
final class Worker {
    private let index: Int
    private let loop: EventLoop
    private let surroundings: Surroundings
    private let server: Mailbox<ServerMessage>
    private var mail: MailboxReader?
    private var passiveListeners: [Listener] = []
    private var sessions: [ObjectIdentifier: ClientConnection] = [:]
    private var undecided: [ObjectIdentifier: FirstByte] = [:]
    private var isEnding = false
    private var trimming: LoopTimer?
    private var lastWords: LoopTimer?

    /// Freed memory goes back to the kernel when the last session is gone.
    private static let trimDelay: Duration = .seconds(5)
    /// What clients get to read why they were cut off.
    private static let lastWordsLimit: Duration = .milliseconds(300)

    /// - Parameter passiveSockets: listening; the worker closes them.
    init(
        index: Int, configuration: GatewayConfiguration, passiveSockets: [Int32], ownPorts: Set<UInt16>, log: EventLog,
        mailbox: Mailbox<WorkerMessage>, server: Mailbox<ServerMessage>
    ) throws(SystemError) {
        self.index = index
        self.server = server
        let loop = try EventLoop()
        self.loop = loop
        surroundings = Surroundings(
            configuration: configuration, scheduler: loop, network: SystemNetwork(loop: loop), random: SystemRandom(), log: log,
            ownPorts: ownPorts)
        for descriptor in passiveSockets {
            let listener = try Listener(socket: Socket(owning: descriptor), loop: loop) {
                [passivePorts = surroundings.passivePorts] in
                if let transport = try? SocketTransport($0, loop: loop) { passivePorts.accepted(transport) }
            }
            surroundings.passivePorts.add(listener)
        }
        trimming = LoopTimer(loop: loop) { [unowned self] in trim() }
        mail = MailboxReader(mailbox, loop: loop) { [unowned self] in take($0) }
    }

    /// Runs until the server says otherwise.
    func run() { loop.run() }

    private func take(_ message: WorkerMessage) {
        switch message {
        case .connection(let descriptor, let mode): accept(Socket(owning: descriptor), mode)
        case .configuration(let configuration): surroundings.use(configuration)
        case .drain(let pace):
            isEnding = true
            surroundings.drain = pace
            for session in sessions.values { session.drain() }
            endIfEmpty()
        case .stop: stop()
        case .ping: server.post(.alive(worker: index))
        }
    }

    private func accept(_ socket: consuming Socket, _ mode: GatewayConfiguration.Listener.Mode) {
        let client = socket.peerAddress()?.ip.unmapped ?? .anyV4
        guard let transport = try? SocketTransport(socket, loop: loop) else { return report(client) }
        let channel = ControlChannel(transport, staging: surroundings.staging)
        guard mode == .explicit, surroundings.configuration.autodetect else {
            return open(channel, isImplicit: mode == .implicit, client)
        }
        let key = ObjectIdentifier(channel)
        undecided[key] = FirstByte(channel, scheduler: loop) { [unowned self] isImplicit in
            loop.later { [unowned self] in undecided[key] = nil }
            open(channel, isImplicit: isImplicit, client)
        }
    }

    private func open(_ channel: ControlChannel, isImplicit: Bool, _ client: IPAddress) {
        let session = ClientConnection(channel, isImplicit: isImplicit, surroundings) { [unowned self] session in
            // It is running at this moment.
            loop.later { [unowned self] in
                sessions[ObjectIdentifier(session)] = nil
                report(client)
            }
        }
        sessions[ObjectIdentifier(session)] = session
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

    private func trim() {
        guard sessions.isEmpty else { return }
        surroundings.staging.pipes.trim()
        Memory.trim()
    }

    private func report(_ client: IPAddress) {
        server.post(.sessionEnded(worker: index, client: client))
        if sessions.isEmpty { trimming?.start(after: Self.trimDelay) }
        endIfEmpty()
    }

    /// Replies that are still on their way out get the time that they need.
    private func endIfEmpty() {
        if isEnding, sessions.isEmpty, undecided.isEmpty { surroundings.whenNothingLingers { [unowned self] in loop.stop() } }
    }
}
