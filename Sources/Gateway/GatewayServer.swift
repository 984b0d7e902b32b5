import NetIO
import TLS
public import Telemetry
public import Wire

/// The gateway as a whole: opens the ports, starts the workers, hands accepted clients to them, and ends in order.
///
/// It lives on the thread that calls `run`: accepting and counting is all that happens there.
public final class GatewayServer {
    /// Where clients can connect, now that everything listens.
    public struct Ready: Sendable {
        public let listen: [(address: SocketAddress, isImplicit: Bool)]
        /// In ascending order.
        public let passive: [UInt16]
    }

    public enum Ending: Equatable, Sendable {
        /// Every session came to its own end.
        case drained
        /// Some were cut off when `--drain-timeout` was over, or at the second signal.
        case forced
    }

    /// What is told to whoever supervises the gateway.
    public enum Milestone: Sendable {
        /// Clients can connect; after `reloading`, that it is over.
        case ready(Ready)
        case reloading
        /// SIGTERM or SIGINT has come; so many sessions are to be drained.
        case stopping(sessions: Int)
        /// Every loop has turned since the last time.
        case alive
    }

    private enum Phase {
        case serving
        /// The end is near, and new clients are still taken: `--drain-delay`.
        case delaying
        case draining
        case forcing
    }

    private var configuration: GatewayConfiguration
    private let log: EventLog
    private let loop: EventLoop
    private let mailbox: Mailbox<ServerMessage>
    private var mail: MailboxReader?
    private var listeners: [Listener] = []
    private var signals: [SignalWatcher] = []
    private var workers: [WorkerHandle] = []
    private let plans: WaitingPlans
    private var missingPorts: MissingPorts?
    private let admission: Admission
    private var pace: AcceptPace
    /// When it was told last that clients have to wait.
    private var throttleTold: Duration?
    private var phase = Phase.serving
    private var ending = Ending.drained
    private var endTimers: [LoopTimer] = []
    private var reloader: Reloader?
    private var stapleFetcher: Mailbox<TLSContext>?
    private var heartbeat = Heartbeat()
    private var heartbeatTimer: LoopTimer?
    private var report: (Milestone) -> Void = { _ in }
    private let controlAddresses: [(address: SocketAddress, isImplicit: Bool)]
    private let hosts: [IPAddress?]
    private var opening: PassiveOpening
    /// Nil until every passive port has been tried.
    private var ready: Ready?
    private var failure: StartError?

    /// Half a millisecond's work.
    private static let portsPerTurn = 64
    /// Between two lines that say that clients have to wait.
    private static let throttleTelling: Duration = .seconds(60)
    /// From the last word to the clients to the end, whatever still hangs.
    private static let forceLimit: Duration = .milliseconds(600)

    /// Opens the control ports. The passive ports follow in `run`, while clients are accepted.
    /// - Parameter opensAllFirst: opens the passive ports as well: who runs may give up what they need.
    /// - Throws: when a control port cannot be had.
    public init(configuration: GatewayConfiguration, log: EventLog, opensAllFirst: Bool = false) throws(StartError) {
        self.configuration = configuration
        self.log = log
        admission = Admission(configuration, workers: configuration.workers, metrics: log.metrics)
        do throws(SystemError) {
            loop = try EventLoop()
            mailbox = try Mailbox()
        } catch {
            throw StartError(description: "\(error); raise the limit of open files.")
        }
        pace = AcceptPace(perSecond: configuration.maxHandshakeRate, now: loop.now)
        var control: [(Listener, GatewayConfiguration.Listener.Mode)] = []
        var hosts: [IPAddress?] = []
        var accept: (consuming Socket, GatewayConfiguration.Listener.Mode) -> Void = { _, _ in }
        var delay: () -> Duration? = { nil }
        for listener in configuration.listeners {
            let socket = try ListeningSockets.open(listener)
            let opened = try Self.listen(
                socket, loop, log, delay: { delay() }, onAccept: { accept($0, listener.mode) })
            control.append((opened, listener.mode))
            let handedOver = opened.address.ip.isUnspecified ? nil : opened.address.ip
            hosts.append(listener.inherited == nil ? listener.host : handedOver)
        }
        self.hosts = ListeningSockets.distinct(hosts)
        opening = PassiveOpening(configuration.passivePorts, hosts: self.hosts)
        listeners = control.map(\.0)
        controlAddresses = control.map { (address: $0.0.address, isImplicit: $0.1 == .implicit) }
        workers = try Self.handles(configuration.workers)
        plans = WaitingPlans { [mailboxes = workers.map(\.mailbox)] in mailboxes[$0].post(.plan($1)) }
        accept = { [unowned self] in accepted($0, $1) }
        delay = { [unowned self] in acceptDelay() }
        if opensAllFirst { while !opening.isOver { openSomePorts() } }
    }

    private static func listen(
        _ socket: consuming Socket, _ loop: EventLoop, _ log: EventLog, delay: @escaping () -> Duration?,
        onAccept: @escaping (consuming Socket) -> Void
    ) throws(StartError) -> Listener {
        do throws(SystemError) {
            return try Listener(
                socket: socket, loop: loop, delay: delay,
                onExhausted: {
                    log.error("accept.exhausted", ["reason": .string("\($0)"), "remedy": "raise the limit of open files"])
                },
                onAccept)
        } catch {
            throw StartError(description: "\(error).")
        }
    }

    private static func handles(_ count: Int) throws(StartError) -> [WorkerHandle] {
        var handles: [WorkerHandle] = []
        for _ in 0..<count {
            do throws(SystemError) {
                handles.append(WorkerHandle(mailbox: try Mailbox()))
            } catch {
                throw StartError(description: "\(error); raise the limit of open files.")
            }
        }
        return handles
    }

    // MARK: - Passive ports

    private func openSomePorts() {
        let before = opening.opened.count
        let ports = opening.open(atMost: Self.portsPerTurn) { [log] port, problem in
            log.warning("passive_port.left_out", ["port": .integer(Int(port)), "reason": .string("\(problem)")])
        }
        // Each is listened on by one worker. What comes for a session of another goes there (`PassivePorts`).
        var shares = [[ListeningSockets.PassivePort]](repeating: [], count: workers.count)
        for (index, port) in ports.enumerated() { shares[(before + index) % workers.count].append(port) }
        for (index, share) in shares.enumerated() where !share.isEmpty { workers[index].mailbox.post(.passivePorts(share)) }
    }

    /// Goes on in the next turn; at the end the gateway is ready.
    private func openPorts(_ watchdog: Duration?) {
        guard phase == .serving else { return }
        if !opening.isOver { openSomePorts() }
        guard opening.isOver else { return loop.afterOthers { [unowned self] in openPorts(watchdog) } }
        guard !opening.opened.isEmpty else {
            failure = StartError(description: "not one port of --passive-ports can be listened on; choose another range.")
            return loop.stop()
        }
        missingPorts = MissingPorts(opening.missing, hosts: hosts, loop: loop, log: log) { [unowned self] port in
            // It could be had after all.
            workers[Int(port.port) % workers.count].mailbox.post(.passivePorts([port]))
        }
        if case .chosenByKernel = configuration.passivePorts {
            let ownPorts = ownPorts
            for worker in workers { worker.mailbox.post(.ownPorts(ownPorts)) }
        }
        let ready = Ready(listen: controlAddresses, passive: opening.opened.sorted())
        self.ready = ready
        report(.ready(ready))
        if let watchdog { watch(watchdog) }
        Memory.releaseStartUp()
    }

    // MARK: - Running

    /// Serves until SIGTERM or SIGINT, and then until the sessions are over.
    /// - Parameters:
    ///   - watchdog: the longest time between two reports of `alive`; none are made where it is nil.
    ///   - reload: where SIGHUP and changed files lead to; nil: nothing is reloaded.
    ///   - report: is called on this thread.
    /// - Throws: when a thread cannot be started, or not one passive port can be had.
    public func run(
        watchdog: Duration? = nil, reload source: ReloadSource? = nil, _ report: @escaping (Milestone) -> Void
    ) throws(StartError) -> Ending {
        self.report = report
        if let source { reloader = try makeReloader(source) }
        try fetchStaples()
        mail = MailboxReader(mailbox, loop: loop) { [unowned self] in take($0) }
        for signal in [SignalWatcher.terminate, SignalWatcher.interrupt] {
            signals.append(SignalWatcher(signal, loop: loop) { [unowned self] in endingWanted() })
        }
        signals.append(SignalWatcher(SignalWatcher.hangUp, loop: loop) { [unowned self] in reload() })
        let ownPorts = ownPorts
        for index in workers.indices { try start(index, ownPorts) }
        log.metrics.set(.draining, to: 0)
        loop.afterOthers { [unowned self] in openPorts(watchdog) }
        loop.run()
        if let failure { throw failure }
        return ending
    }

    private func start(_ index: Int, _ ownPorts: OwnPorts) throws(StartError) {
        let outfit = OneUse(
            Worker.Outfit(
                index: index, configuration: configuration, ownPorts: ownPorts, plans: plans, admission: admission, log: log,
                mailboxes: workers.map(\.mailbox), server: mailbox))
        do throws(SystemError) {
            try Thread.start(name: "worker-\(index)") { [log, mailbox] in
                do throws(SystemError) {
                    try Worker(outfit.take()).run()
                } catch {
                    log.error("worker.failed", ["worker": .integer(index), "reason": .string("\(error)")])
                }
                mailbox.post(.workerEnded(worker: index))
            }
        } catch {
            throw StartError(description: "\(error).")
        }
    }

    /// Those that it listens on, or would.
    private var ownPorts: OwnPorts {
        var passive = Set(opening.opened)
        if case .range(let range) = configuration.passivePorts { passive.formUnion(range.lower...range.upper) }
        return OwnPorts(control: controlAddresses.map(\.address), passive: passive)
    }

    // MARK: - Reloading

    private func makeReloader(_ source: ReloadSource) throws(StartError) -> Reloader {
        do throws(SystemError) {
            return try Reloader(
                source, loop: loop, log: log, onBegun: { [unowned self] in report(.reloading) },
                onOver: { [unowned self] in reloaded($0) })
        } catch {
            throw StartError(description: "\(error); raise the limit of open files.")
        }
    }

    private func fetchStaples() throws(StartError) {
        guard configuration.fetchesStaples else { return }
        do throws(SystemError) {
            stapleFetcher = try StapleFetcher.start(configuration.tls, log: log)
        } catch {
            throw StartError(description: "\(error).")
        }
    }

    private func reload() {
        guard phase == .serving else { return log.info("reload.ignored", ["message": "the gateway is on its way to its end"]) }
        reloader?.begin(.signal)
    }

    private func reloaded(_ loaded: GatewayConfiguration?) {
        guard phase == .serving else { return }
        if let loaded {
            let (new, needsRestart) = loaded.takenUp(by: configuration)
            if !needsRestart.isEmpty {
                log.warning(
                    "reload.needs_restart",
                    [
                        "flags": .string(needsRestart.joined(separator: " ")),
                        "message": "what these say is taken up at the next start",
                    ])
            }
            configuration = new
            stapleFetcher?.post(new.tls)
            admission.use(new)
            pace.use(perSecond: new.maxHandshakeRate, at: loop.now)
            for worker in workers { worker.mailbox.post(.configuration(new)) }
        }
        if let ready { report(.ready(ready)) }
    }

    // MARK: - What workers and clients say

    private func take(_ message: ServerMessage) {
        switch message {
        case .workerDrained(let index):
            workers[index].isDrained = true
            leaveIfDrained()
        case .workerEnded(let index):
            workers[index].hasEnded = true
            admission.ended(worker: index)
            if phase == .draining { leaveIfDrained() }
            guard workers.allSatisfy(\.hasEnded) else { return }
            if phase == .serving { ending = .forced }
            loop.stop()
        case .alive(let index): heartbeat.answered(index)
        }
    }

    /// A worker without sessions still listens for the sessions of others.
    private func leaveIfDrained() {
        guard workers.allSatisfy({ $0.isDrained || $0.hasEnded }) else { return }
        for worker in workers { worker.mailbox.post(.leave) }
    }

    private func acceptDelay() -> Duration? {
        guard let delay = pace.delay(at: loop.now) else { return nil }
        if throttleTold.map({ loop.now - $0 >= Self.throttleTelling }) ?? true {
            throttleTold = loop.now
            log.warning(
                "accept.throttled",
                [
                    "rate": .integer(configuration.maxHandshakeRate),
                    "message": "More clients come than --max-handshake-rate lets in; they wait. This is said once a minute.",
                ])
        }
        return delay
    }

    private func accepted(_ socket: consuming Socket, _ mode: GatewayConfiguration.Listener.Mode) {
        guard let peer = socket.peerAddress() else { return }
        do throws(Admission.Refusal) {
            let index = try admission.admit(peer.ip.unmapped)
            // Who is turned away has cost nothing.
            pace.take()
            let port = socket.localPort
            workers[index].mailbox.post(.connection(descriptor: socket.take(), peer: peer, localPort: port, mode: mode))
        } catch {
            if mode == .explicit, let farewell = error.farewell { socket.sendOnce(Array(farewell.utf8)) }
            log.info("client.refused", ["client": .string("\(peer)"), "reason": .string(error.rawValue)])
        }
    }

    // MARK: - Ending

    private func endingWanted() {
        guard phase == .serving else { return force() }
        phase = .delaying
        report(.stopping(sessions: admission.sessions))
        log.metrics.set(.draining, to: 1)
        log.info("drain.started", ["sessions": .integer(admission.sessions)])
        let timeouts = configuration.timeouts
        // Zero means that transfers may take as long as they take.
        if timeouts.drain > .zero { after(timeouts.drain) { [unowned self] in force() } }
        let began = loop.now
        guard timeouts.drainDelay > .zero else { return drain(began) }
        after(timeouts.drainDelay) { [unowned self] in if phase == .delaying { drain(began) } }
    }

    /// New clients are refused from here on; the passive ports stay open for those who are here.
    private func drain(_ began: Duration) {
        phase = .draining
        listeners = []
        let pace = DrainPace(began: began, limit: configuration.timeouts.drain, sessions: admission.sessions)
        log.info("drain.listeners_closed", ["sessions": .integer(admission.sessions)])
        for worker in workers { worker.mailbox.post(.drain(pace)) }
    }

    private func force() {
        guard phase == .delaying || phase == .draining else { return }
        phase = .forcing
        listeners = []
        if admission.sessions > 0 {
            ending = .forced
            log.warning("drain.forced", ["sessions": .integer(admission.sessions)])
        }
        for worker in workers { worker.mailbox.post(.stop) }
        // A worker that is stuck does not hold back the end.
        after(Self.forceLimit) { [unowned self] in
            ending = .forced
            loop.stop()
        }
    }

    private func after(_ delay: Duration, _ body: @escaping () -> Void) {
        let timer = LoopTimer(loop: loop, body)
        timer.start(after: delay)
        endTimers.append(timer)
    }

    // MARK: - The watchdog

    /// Reports `alive` four times in the service manager's interval, for as long as every loop turns.
    private func watch(_ interval: Duration) {
        let timer = LoopTimer(loop: loop) { [unowned self] in
            beat()
            heartbeatTimer?.start(after: interval / 4)
        }
        heartbeatTimer = timer
        timer.start(after: .zero)
    }

    private func beat() {
        let running = workers.indices.filter { !workers[$0].hasEnded }
        if heartbeat.beat(running) {
            report(.alive)
            for index in running { workers[index].mailbox.post(.ping) }
        } else {
            let silent = heartbeat.silent.map(String.init).joined(separator: ",")
            log.error(
                "worker.stuck",
                ["workers": .string(silent), "remedy": "the watchdog of the service manager restarts the gateway"])
        }
    }
}
