import NetIO
import TLS
import Telemetry
import Wire

/// A worker's part in the passive ports: its sessions' reservations, and the connections that come to the ports that it listens
/// on (DESIGN 3.11.3). Who may have what is the business of `WaitingPlans`.
///
/// A connection belongs to the only session of its address that waits on its port, or to the one whose TLS session it resumes;
/// where that has to be found out, it shows before the handshake. So it goes unread to the worker that has the session. What
/// belongs to nobody is reset, and spends nobody's reservation: that ends when the session has its connection, or gives up.
final class PassivePorts {
    /// A session that waits for its client on a passive port; given back by `release`.
    final class Reservation {
        let id: WaitingPlans.ID
        /// Nil while the session waits for one.
        fileprivate(set) var port: UInt16?
        fileprivate let handlers: Handlers
        /// Connections that are probably this session's, and have said nothing.
        fileprivate var silent: [ObjectIdentifier: Arrival] = [:]

        fileprivate init(_ id: WaitingPlans.ID, _ port: UInt16?, _ handlers: Handlers) {
            self.id = id
            self.port = port
            self.handlers = handlers
        }

        /// Whether a connection is here that has not begun its handshake.
        var hasSilentConnection: Bool { !silent.isEmpty }
    }

    /// What a session does with what happens to its reservation.
    struct Handlers {
        /// A port has become free; not called where one was free at once.
        var onPromised: (UInt16) -> Void
        /// A connection has come that is probably the session's; it has said nothing.
        var onArrived: () -> Void
        /// A connection that is the session's; where proof is needed, only if it resumes the session's TLS session.
        var onConnected: (any Transport, _ needsProof: Bool) -> Void
        /// A connection that has said nothing is gone.
        var onLeft: () -> Void
        /// A connection was turned away that may have been the session's.
        var onTurnedAway: () -> Void
    }

    /// What the ports need of the gateway around them.
    struct Environment {
        let worker: Int
        let scheduler: any Scheduler
        let random: any RandomSource
        let log: EventLog
        /// Tells whose session a client means to resume.
        let claim: (ClientHello) -> SessionTag?
        /// `--handshake-timeout`; zero means without end.
        let handshakeTimeout: () -> Duration
        /// Gives a connection, unread, to another worker, which is to call `accepted` with it.
        let handOver: (any Transport, _ worker: Int, _ hops: Int) -> Void
    }

    private let plans: WaitingPlans
    private let environment: Environment
    private var reservations: [WaitingPlans.ID: Reservation] = [:]
    /// Connections that may be one of several sessions'.
    private var undecided: [ObjectIdentifier: Arrival] = [:]
    private var undecidedOfAddress: [IPAddress: Int] = [:]
    /// Reservations whose ports others may share when the time has come, in the order of their times.
    private var exclusive: [(until: Duration, id: WaitingPlans.ID)] = []
    private var exclusivityClock: (any NetIO.Timer)?
    private var exhaustion = Exhaustion()

    /// Between workers a connection does not go on for ever.
    private static let hopLimit = 4
    /// Silent connections of one session, and those of one address beyond the number of its sessions.
    private static let silentLimit = 4
    private static let undecidedReserve = 8
    private static let undecidedLimit = 4096

    init(_ plans: WaitingPlans, _ environment: Environment) {
        self.plans = plans
        self.environment = environment
    }

    // MARK: - Reservations

    /// Asks for a port.
    func reserve(_ wish: WaitingPlans.Wish, _ handlers: Handlers) -> Reservation {
        let now = environment.scheduler.now
        let (id, port) = plans.reserve(wish, start: environment.random.number(below: 1 << 16), now: now)
        let reservation = Reservation(id, port, handlers)
        reservations[id] = reservation
        if port == nil { exhaustion.tell(wish.client, environment, plans.portCount) }
        if wish.isProtected, !wish.isTellable { limitExclusivity(of: id) }
        return reservation
    }

    /// Takes it back, used or not. What came for it and said nothing goes.
    func release(_ reservation: Reservation) {
        guard reservations.removeValue(forKey: reservation.id) != nil else { return }
        for arrival in reservation.silent.values { arrival.reset() }
        let silent = reservation.silent
        reservation.silent = [:]
        // One of them may be running.
        environment.scheduler.later { _ = silent }
        plans.release(reservation.id, now: environment.scheduler.now)
    }

    func setProtected(_ isProtected: Bool, _ reservation: Reservation) { plans.setProtected(isProtected, reservation.id) }

    /// Whether a connection that proves nothing can only be this session's.
    func isSole(_ reservation: Reservation) -> Bool { plans.isSole(reservation.id) }

    /// What the table has to say to one of this worker's sessions.
    func take(_ notice: WaitingPlans.Notice) {
        switch notice {
        case .promised(let id, let port):
            guard let reservation = reservations[id] else { return }
            reservation.port = port
            limitExclusivity(of: id)
            reservation.handlers.onPromised(port)
        case .turnedAway(let id): reservations[id]?.handlers.onTurnedAway()
        }
    }

    /// Nobody knows whether a new client's data connections will resume; but one that takes its time must not keep all others
    /// behind the same address from the port.
    private func limitExclusivity(of id: WaitingPlans.ID) {
        let limit = environment.handshakeTimeout()
        guard limit > .zero else { return }
        exclusive.append((environment.scheduler.now + limit, id))
        guard exclusive.count == 1 else { return }
        if exclusivityClock == nil { exclusivityClock = environment.scheduler.makeTimer { [unowned self] in endExclusivity() } }
        exclusivityClock?.start(after: limit)
    }

    private func endExclusivity() {
        let now = environment.scheduler.now
        let due = exclusive.prefix { $0.until <= now }
        exclusive.removeFirst(due.count)
        for entry in due where reservations[entry.id] != nil { plans.endExclusivity(of: entry.id) }
        exclusive.removeAll { reservations[$0.id] == nil }
        if let next = exclusive.first { exclusivityClock?.start(after: max(next.until - now, .milliseconds(1))) }
    }

    // MARK: - Connections

    /// A connection has come to one of the ports, here or at another worker.
    func accepted(_ transport: any Transport, hops: Int = 0) {
        let (port, client) = (transport.localPort, transport.peerAddress.ip.unmapped)
        switch plans.firstLook(port: port, client: client) {
        case .stray: turnAway(transport, "stray")
        case .sole(let id, let worker, let isCertain):
            guard worker == environment.worker else { return handOver(transport, to: worker, hops) }
            guard let reservation = reservations[id] else { return turnAway(transport, "stray") }
            isCertain ? reservation.handlers.onConnected(transport, false) : wait(transport, hops, for: reservation)
        case .undecided(let candidates): wait(transport, hops, ofAddress: client, candidates)
        }
    }

    private func wait(_ transport: any Transport, _ hops: Int, for reservation: Reservation) {
        guard reservation.silent.count < Self.silentLimit else { return turnAway(transport, "too_many") }
        let arrival = makeArrival(transport, hops)
        reservation.silent[ObjectIdentifier(arrival)] = arrival
        let forget = { [unowned self, unowned arrival, weak reservation] in
            guard let arrival = reservation?.silent.removeValue(forKey: ObjectIdentifier(arrival)) else { return }
            // It is running at this moment.
            environment.scheduler.later { _ = arrival }
        }
        arrival.onShown = { [unowned self] hello in
            forget()
            decide(transport, hops, hello)
        }
        arrival.onGone = { [weak reservation] in
            forget()
            transport.reset()
            reservation?.handlers.onLeft()
        }
        arrival.start()
        reservation.handlers.onArrived()
    }

    private func wait(_ transport: any Transport, _ hops: Int, ofAddress client: IPAddress, _ candidates: Int) {
        guard undecided.count < Self.undecidedLimit,
            undecidedOfAddress[client, default: 0] < 2 * candidates + Self.undecidedReserve
        else { return turnAway(transport, "too_many") }
        let arrival = makeArrival(transport, hops)
        undecided[ObjectIdentifier(arrival)] = arrival
        undecidedOfAddress[client, default: 0] += 1
        let forget = { [unowned self, unowned arrival] in
            guard let arrival = undecided.removeValue(forKey: ObjectIdentifier(arrival)) else { return }
            undecidedOfAddress[client] = undecidedOfAddress[client].flatMap { $0 > 1 ? $0 - 1 : nil }
            environment.scheduler.later { _ = arrival }
        }
        arrival.onShown = { [unowned self] hello in
            forget()
            decide(transport, hops, hello)
        }
        arrival.onSilence = { [unowned self, unowned arrival] in
            // Those who waited may have their connections by now: perhaps it is clear whose this one is.
            arrival.leave()
            forget()
            candidates > 0 ? accepted(transport, hops: hops) : turnAway(transport, "no_handshake")
        }
        arrival.onGone = { [unowned self] in
            forget()
            turnAway(transport, "no_handshake")
        }
        arrival.start()
    }

    private func makeArrival(_ transport: any Transport, _ hops: Int) -> Arrival {
        Arrival(transport, hops: hops, scheduler: environment.scheduler, patience: environment.handshakeTimeout())
    }

    /// It has shown whose session it resumes, or that it resumes none. Where only one session waits on its port that is left to
    /// the handshake, which opens the ticket anyway.
    private func decide(_ transport: any Transport, _ hops: Int, _ hello: ClientHello?) {
        let (port, client) = (transport.localPort, transport.peerAddress.ip.unmapped)
        let verdict =
            plans.judgeAlone(port: port, client: client)
            ?? plans.judge(port: port, client: client, tag: hello.flatMap { environment.claim($0) })
        switch verdict {
        case .owner(let id, let worker, let needsProof):
            guard worker == environment.worker else { return handOver(transport, to: worker, hops) }
            guard let reservation = reservations[id] else { return turnAway(transport, "stray") }
            reservation.handlers.onConnected(transport, needsProof)
        case .ambiguous(let ids):
            turnAway(transport, "ambiguous")
            plans.turnedAway(ids)
        case .stray: turnAway(transport, "stray")
        }
    }

    private func handOver(_ transport: any Transport, to worker: Int, _ hops: Int) {
        guard hops < Self.hopLimit else { return turnAway(transport, "stray") }
        environment.handOver(transport, worker, hops + 1)
    }

    private func turnAway(_ transport: any Transport, _ reason: String) {
        environment.log.info(
            "data.turned_away",
            [
                "reason": .string(reason), "client": .string("\(transport.peerAddress)"),
                "port": .integer(Int(transport.localPort)),
            ])
        transport.reset()
    }
}

/// Says in the log that no port was free: once in a while, with how often.
private struct Exhaustion {
    private var lastTold: Duration?
    private var untold = 0

    private static let interval: Duration = .seconds(10)

    mutating func tell(_ client: IPAddress, _ environment: PassivePorts.Environment, _ ports: Int) {
        untold += 1
        let now = environment.scheduler.now
        if let lastTold, now - lastTold < Self.interval { return }
        environment.log.warning(
            "passive_ports.exhausted",
            [
                "client": .string("\(client)"), "ports": .integer(ports), "times": .integer(untold),
                "remedy": "all ports are promised to sessions of this address: name more with --passive-ports",
            ])
        lastTold = now
        untold = 0
    }
}
