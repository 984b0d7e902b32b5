import FTPProtocol
import Wire

@testable import FTPSession

/// Looks at every event and every action of a session, and says which of its promises was broken. Knows nothing of how the
/// session works inside, but for the name of its state.
struct Watch {
    private let policy: SessionPolicy
    private let facts: Session.Facts
    /// Whether "geheim" is a password wherever it stands.
    var knowsSecrets = true
    private(set) var problems: [String] = []
    private(set) var running: Set<Timer> = []
    private var isClosed = false
    private var isSecured = false
    private var tlsStarts = 0
    private var tlsStops = 0
    private var isDataPrivate = false
    private var isDialling = false
    private var backendIP: IPAddress?

    init(policy: SessionPolicy, facts: Session.Facts) {
        self.policy = policy
        self.facts = facts
    }

    mutating func observe(_ event: Event, _ actions: [Action], _ session: borrowing Session) {
        if isClosed, !actions.isEmpty { problems.append("something is done after the close: \(actions)") }
        switch event {
        case .clientSecured where tlsStarts > 0: isSecured = true
        // One that nobody dialled is none.
        case .backendConnected(let facts) where isDialling && backendIP == nil: backendIP = facts.address.ip
        case .timerFired(let timer): running.remove(timer)
        default: break
        }
        for (index, action) in actions.enumerated() {
            observe(action, isLast: index == actions.count - 1)
        }
        if session.isClosed != isClosed { problems.append("closed without saying so") }
        if isClosed { running = [] }
        if case .idle = session.state, !running.isSubset(of: [.login, .idle, .greeting, .drain]) {
            problems.append("idle, and a clock runs for something else: \(running)")
        }
        if let clocks = Self.clocks(session.state), running.isDisjoint(with: clocks) {
            problems.append("a wait without a clock: \(session.state), \(running)")
        }
        if session.takesCommands, session.queue.count >= Session.queueLimit { problems.append("takes more lines than may wait") }
    }

    /// Every wait has a clock: one of these runs. Nil where the data connection's own does, or the attempt to connect.
    private static func clocks(_ state: Session.State) -> Set<Timer>? {
        switch state {
        case .securing: [.handshake]
        case .idle: [.idle]
        case .awaitingReply, .loggingIn, .resynchronising: [.reply]
        case .preparingData(let setup): setup.step == .awaitingReply ? [.reply] : nil
        case .transferring(let transfer): transfer.outcome != nil ? [.reply, .afterFailure] : transfer.hasBegun ? nil : [.reply]
        case .aborting: [.abortReply]
        case .discarding: [.afterFailure]
        case .quitting: [.quit]
        case .initial, .awaitingBackend, .verifying, .closed: nil
        }
    }

    private mutating func observe(_ action: Action, isLast: Bool) {
        let mayActInClear = policy.controlTLS == .optional
        switch action {
        case .close:
            isClosed = true
            if !isLast { problems.append("something is done behind the close") }
        case .connectBackend:
            isDialling = true
            if !isSecured, !mayActInClear { problems.append("the backend is dialled before TLS") }
        case .sendToBackend(let command):
            if !isSecured, !mayActInClear { problems.append("sent to the backend before TLS: \(command)") }
            if command.line.contains(where: { [0, 10, 13].contains($0) }) { problems.append("not one line: \(command)") }
            if [.auth, .pbsz, .prot, .ccc, .adat].contains(command.verb) { problems.append("sent to the backend: \(command)") }
        case .startRelay:
            if !isSecured, !mayActInClear { problems.append("data flow before TLS") }
            if !isDataPrivate, policy.dataTLS == .required { problems.append("data flow in the clear where TLS is required") }
        case .protectData(let isPrivate): isDataPrivate = isPrivate
        case .startTLS:
            tlsStarts += 1
            if tlsStarts > 1 { problems.append("TLS is started again") }
        case .stopTLS:
            tlsStops += 1
            if tlsStops > 1 || !isSecured || !policy.allowCCC { problems.append("TLS is stopped where it may not be") }
        case .setTimer(let timer): running.insert(timer)
        case .cancelTimer(let timer): running.remove(timer)
        case .planClient(let address):
            if address.ip != facts.client.ip || address.port < 1024 || facts.ownPorts.contains(address.port) {
                problems.append("a bounce to \(address)")
            }
        case .dialBackendData(let address):
            if policy.backendPASVAddress == .control, address.ip != backendIP {
                problems.append("dials \(address) for the backend")
            }
        case .replyToClient(let reply):
            if !reply.bytes.suffix(2).elementsEqual([13, 10]) { problems.append("a reply without an end") }
        default: break
        }
        if knowsSecrets, Script.text(action).contains(where: { $0.contains("geheim") && !$0.hasPrefix("→B") }) {
            problems.append("a password is shown: \(Script.text(action))")
        }
    }
}

/// Random numbers that can be had again.
struct Dice: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    /// SplitMix64.
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
    mutating func pick<T>(_ values: [T]) -> T { values.randomElement(using: &self)! }
}

extension SessionPolicy {
    /// One of many ways to set the gateway up.
    static func random(_ dice: inout Dice) -> SessionPolicy {
        var policy = SessionPolicy()
        if dice.chance(30) { policy.controlTLS = .optional }
        if dice.chance(30) { policy.dataTLS = .optional }
        policy.backendData = dice.pick(BackendData.allCases)
        policy.verifyBeforeStore = dice.pick(VerifyBeforeStore.allCases)
        policy.allowCCC = dice.chance(30)
        policy.hideBackend = dice.chance(20)
        if dice.chance(20) { policy.access = dice.pick(Access.allCases) }
        if dice.chance(10) { policy.deniedCommands = [CommandPattern(verb: .stat), CommandPattern(verb: .dele)] }
        policy.maxLoginAttempts = dice.pick([0, 1, 3])
        return policy
    }
}
