import FTPProtocol
import Testing
import Wire

@testable import FTPSession

/// A client that sends what it likes, pipelined and in any order, and a backend that answers everything in one of many ways:
/// every command is answered once, in order, by the right answer, and the session never gets stuck.
struct ConversationTests {
    @Test func aHundredUnaskedRepliesEndTheSession() throws {
        var stage = Stage()
        for step in Prologues.loggedIn { try Player.perform(step, on: &stage) }
        _ = stage.takeActions()
        for _ in 1..<100 { stage.backend(Array("200 Still here\r\n".utf8)) }
        #expect(stage.takeActions().filter { $0 == .replyToClient(Reply(200, "Still here")) }.count == 99)
        stage.backend(Array("200 Still here\r\n".utf8))
        #expect(stage.takeActions().suffix(2) == [.replyToClient(.unasked), .close(.backendUnasked)])
        #expect(stage.watch.problems.isEmpty)
    }

    @Test(arguments: 0..<8)
    func everyCommandGetsItsOwnAnswer(part: Int) {
        for number in 0..<150 {
            let seed = UInt64(part * 1_000_000 + number)
            var world = World(seed: seed)
            world.run()
            guard world.problems.isEmpty else {
                Issue.record("seed \(seed): \(world.problems.joined(separator: "\n"))\n\(world.journal.joined(separator: "\n"))")
                return
            }
        }
    }
}

/// One session between a client and a backend that are played by dice.
private struct World: ~Copyable {
    private var dice: Dice
    private var session: Session
    private var watch: Watch
    private(set) var problems: [String] = []
    private(set) var journal: [String] = []

    // The client.
    private struct Asked {
        let number: Int
        let verb: Command.Verb
    }
    private var unanswered: [Asked] = []
    private var sent = 0
    private var budget: Int

    // The backend.
    private enum AbortStyle: CaseIterable { case both, only226, only225, late226, refused }
    private enum StatStyle: CaseIterable { case atOnce, afterTheTransfer, refused }
    private let abortStyle: AbortStyle
    private let statStyle: StatStyle
    private let knowsEPSV: Bool
    private let says150: Bool
    private var inbox: [Command] = []
    private var transfer: Command?
    private var hasDataEnded = false
    private var oweLate: Reply?
    /// The transfers whose end is told by the answer to the ABOR with this number.
    private var answeredTogether: [Int: Int] = [:]
    private var hasGreeted = false

    /// What is under way, and comes about sooner or later.
    private var happenings: [Event] = []
    private var dataHappenings: [Event] = []

    init(seed: UInt64) {
        dice = Dice(seed: seed)
        abortStyle = dice.pick(AbortStyle.allCases)
        statStyle = dice.pick(StatStyle.allCases)
        knowsEPSV = dice.chance(70)
        says150 = dice.chance(90)
        budget = Int.random(in: 5...40, using: &dice)
        var policy = SessionPolicy()
        policy.verifyBeforeStore = dice.pick(SessionPolicy.VerifyBeforeStore.allCases)
        policy.backendData = dice.pick(SessionPolicy.BackendData.allCases)
        session = Session(policy: SharedPolicy(policy), facts: Stage.facts)
        watch = Watch(policy: policy, facts: Stage.facts)
    }

    mutating func run() {
        handle(.accepted)
        for line in ["AUTH TLS", "PBSZ 0", "PROT P", "USER anna", "PASS geheim"] {
            ask(line)
            while problems.isEmpty, step(mayAsk: false) {}
        }
        while problems.isEmpty, !session.isClosed, step(mayAsk: true) {}
        guard problems.isEmpty, !session.isClosed else { return }
        if session.state != .idle { problems.append("stuck in \(session.state)") }
        let open = unanswered.filter { $0.verb != .abor }
        if !open.isEmpty { problems.append("never answered: \(open)") }
    }

    /// Lets one thing happen; false when nothing is left to happen.
    private mutating func step(mayAsk: Bool) -> Bool {
        var choices: [(inout World) -> Void] = []
        if mayAsk, budget > 0, session.takesCommands, !session.isClosed {
            choices.append { $0.askAnything() }
        }
        if !happenings.isEmpty {
            choices.append { world in
                let event = world.happenings.removeFirst()
                world.handle(event)
            }
        }
        if !dataHappenings.isEmpty {
            choices.append { world in
                let event = world.dataHappenings.removeFirst()
                world.handle(event)
            }
        }
        if backendCanAct { choices.append { $0.backendActs() } }
        if watch.running.contains(.dataSettle), dice.chance(20) { choices.append { $0.handle(.timerFired(.dataSettle)) } }
        // The window closes when the backend has had its time, or a little early.
        if watch.running.contains(.abortWindow), inbox.isEmpty, transfer == nil, oweLate == nil || dice.chance(50) {
            choices.append { $0.handle(.timerFired(.abortWindow)) }
        }
        if choices.isEmpty, session.state != .idle {
            let clocks: [FTPSession.Timer] = [.abortWindow, .abortGrace, .abortReply, .afterFailure, .quit]
            guard let clock = clocks.first(where: { watch.running.contains($0) }) else { return false }
            choices.append { $0.handle(.timerFired(clock)) }
        }
        guard !choices.isEmpty else { return false }
        dice.pick(choices)(&self)
        return true
    }

    // MARK: - The client

    private mutating func askAnything() {
        budget -= 1
        let plain = ["CWD", "DELE", "SIZE", "XYZZY", "SITE", "NOOP", "MKD"]
        let transfers = ["RETR", "STOR", "LIST", "STOU", "APPE"]
        let kind = Int.random(in: 0..<100, using: &dice)
        switch kind {
        case 0..<30: ask("\(dice.pick(plain)) #\(sent)")
        case 30..<50: ask(dice.pick(["PASV", "EPSV", "PORT 198,51,100,7,156,65"]))
        case 50..<75: ask("\(dice.pick(transfers)) #\(sent)")
        case 75..<85: ask("ABOR #\(sent)")
        case 85..<93: ask("STAT")
        case 93..<96: handle(.clientSentMalformed(.empty), as: "an empty line")
        default: ask("NOOP #\(sent)")
        }
    }

    private mutating func ask(_ line: String) {
        guard case .command(let command) = Command.parse(Array(line.utf8)) else { preconditionFailure("not a command: \(line)") }
        unanswered.append(Asked(number: sent, verb: command.verb))
        sent += 1
        journal.append("C: \(line)")
        handle(.clientSent(command))
    }

    private mutating func handle(_ malformed: Event, as name: String) {
        unanswered.append(Asked(number: sent, verb: Command.Verb("")))
        sent += 1
        journal.append("C: \(name)")
        handle(malformed)
    }

    private mutating func answered(_ reply: Reply) {
        journal.append("→C \(reply)")
        guard reply.isFinal, reply.code != 220 else { return }
        if reply.code == 421 { return problems.append("ended: \(reply)") }
        let urgent: [Command.Verb] = [.abor, .stat, .noop]
        var index: Int?
        if let number = reply.text.split(separator: "#").last.flatMap({ Int($0) }), reply.text.contains("re ") {
            index = unanswered.firstIndex { $0.number == number }
            // Those in front of it that are not urgent must have been answered.
            if let index, !urgent.contains(unanswered[index].verb),
                unanswered[..<index].contains(where: { !urgent.contains($0.verb) })
            {
                problems.append("out of turn: \(reply)")
            }
        } else if reply.text == "re STAT" {
            index = unanswered.firstIndex { $0.verb == .stat }
        } else if reply.text == "re ABOR", abortStyle == .late226 {
            // Ours, late, while the client's own is in flight: nobody can tell them apart.
            index = unanswered.firstIndex { $0.verb == .abor }
        } else if reply == .noopDone {
            index = unanswered.firstIndex { $0.verb == .noop }
        } else if reply == .abortDone {
            index = unanswered.firstIndex { $0.verb == .abor }
        } else {
            // One of our own, which comes in its turn.
            index = unanswered.firstIndex { !urgent.contains($0.verb) }
        }
        guard let index else { return problems.append("answers nothing: \(reply)") }
        let number = unanswered.remove(at: index).number
        // Where ABOR has one answer, that is the transfer's as well.
        if let aborted = answeredTogether[number] { unanswered.removeAll { $0.number == aborted } }
    }

    private func isTransfer(_ verb: Command.Verb) -> Bool {
        if case .transfer = CommandTable.row(for: verb).kind { true } else { false }
    }

    // MARK: - The backend

    private var backendCanAct: Bool {
        guard hasGreeted else { return false }
        if oweLate != nil { return true }
        guard let transfer else { return !inbox.isEmpty }
        if inbox.first?.verb == .abor { return true }
        if inbox.first?.verb == .stat, statStyle != .afterTheTransfer { return true }
        return hasDataEnded || CommandTable.row(for: transfer.verb).kind != .transfer(.upload)
    }

    private mutating func say(_ code: Int, _ text: String) {
        journal.append("B: \(code) \(text)")
        handle(.backendSent(Reply(code, text)))
    }

    private mutating func backendActs() {
        if let late = oweLate {
            oweLate = nil
            return say(late.code, late.text)
        }
        if let running = transfer {
            switch inbox.first?.verb {
            case .abor: return abort(inbox.removeFirst(), running)
            case .stat where statStyle != .afterTheTransfer:
                inbox.removeFirst()
                return statStyle == .atOnce ? say(211, "re STAT") : say(502, "re STAT")
            default:
                transfer = nil
                return say(226, "re \(running)")
            }
        }
        let command = inbox.removeFirst()
        switch command.verb {
        case .user: say(331, "Password? re #3")
        case .pass: say(230, "Welcome re #4")
        case .pasv: say(227, "(10,0,0,5,200,10)")
        case .epsv: knowsEPSV ? say(229, "(|||51210|)") : say(500, "No EPSV")
        case .stat: say(211, "re STAT")
        case .abor: say(225, "re \(command)")
        case .noop where command.argument.isEmpty: say(200, "NOOP")
        case .port, .eprt: say(200, "Fine")
        case _ where isTransfer(command.verb):
            if dice.chance(15) { return say(550, "re \(command)") }
            transfer = command
            hasDataEnded = false
            if says150 || CommandTable.row(for: command.verb).kind == .transfer(.upload) { say(150, "re \(command)") }
        default: say(dice.pick([200, 250, 550]), "re \(command)")
        }
    }

    private func number(of command: Command) -> Int? { command.argumentText.split(separator: "#").last.flatMap { Int($0) } }

    private mutating func abort(_ command: Command, _ running: Command) {
        transfer = nil
        switch abortStyle {
        case .both:
            say(426, "re \(running)")
            say(226, "re \(command)")
        case .only226, .only225:
            if let abor = number(of: command), let transfer = number(of: running) { answeredTogether[abor] = transfer }
            say(abortStyle == .only226 ? 226 : 225, "re \(command)")
        case .late226:
            oweLate = Reply(226, "re \(command)")
            say(226, "re \(running)")
        case .refused:
            say(502, "re \(command)")
            say(426, "re \(running)")
        }
    }

    // MARK: - The gateway

    private mutating func handle(_ event: Event) {
        let actions = session.handle(event)
        watch.observe(event, actions, session)
        problems += watch.problems
        for action in actions { perform(action) }
        if case .closed = session.state { happenings = [] }
    }

    private mutating func perform(_ action: Action) {
        switch action {
        case .replyToClient(let reply): answered(reply)
        case .startTLS: happenings.append(.clientSecured)
        case .connectBackend:
            happenings += [
                .backendConnected(BackendFacts(address: SocketAddress("10.0.0.5:21")!)), .backendSent(Reply(220, "Ready")),
            ]
            hasGreeted = true
        case .sendToBackend(let command):
            journal.append("→B \(command)")
            let isUrgent = command.verb == .abor || command.verb == .stat || command == Command(.noop)
            // A late answer may have been taken for that of a second ABOR; whatever comes then is nobody's.
            let mayFollow = transfer == nil && (inbox.isEmpty || abortStyle == .late226 && inbox.allSatisfy { $0.verb == .abor })
            if !isUrgent, !mayFollow {
                problems.append(
                    "\(command) is sent while the backend has \(inbox) to answer and \(transfer.map { "\($0)" } ?? "nothing") to do"
                )
            }
            inbox.append(command)
        case .listenForClient: dataHappenings.append(.clientDataListening(SocketAddress("203.0.113.1:50000")!))
        case .listenForBackend: dataHappenings.append(.backendDataListening(SocketAddress("10.0.0.1:60000")!))
        case .dialBackendData:
            dataHappenings.append(dice.chance(90) ? .backendDataConnected : .backendDataFailed(.backendRefused))
        case .awaitClientData:
            dataHappenings.append(dice.chance(80) ? .clientDataReady : .dataEnded(.failed(.notResumed, bytes: 0)))
        case .startRelay(let direction, _):
            let failures: [DataFailure] =
                direction == .upload
                ? [.uploadTruncated, .stalled, .backendBroke] : [.clientClosedEarly, .noHandshake, .backendBroke]
            dataHappenings.append(.dataEnded(dice.chance(75) ? .completed(bytes: 9) : .failed(dice.pick(failures), bytes: 5)))
            hasDataEnded = true
        case .endData:
            dataHappenings = []
            hasDataEnded = true
        default: break
        }
    }
}
