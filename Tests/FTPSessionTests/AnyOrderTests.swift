import FTPProtocol
import Testing
import Wire

@testable import FTPSession

/// Events in any order, those that cannot be included, never break what the session promises.
struct AnyOrderTests {
    @Test(arguments: 0..<8)
    func anyOrderOfEventsKeepsThePromises(part: Int) {
        for number in 0..<2500 {
            let seed = UInt64(part * 1_000_000 + number)
            var dice = Dice(seed: seed)
            let policy = SessionPolicy.random(&dice)
            var facts = Stage.facts
            facts.isImplicit = dice.chance(30)
            var session = Session(policy: SharedPolicy(policy), facts: facts)
            var watch = Watch(policy: policy, facts: facts)
            var told: [Event] = []
            // Most sequences begin as sessions do, so that they come somewhere.
            var events = dice.chance(80) ? Self.beginning(facts, &dice) : []
            for _ in 0..<40 { events.append(dice.pick(Self.events)) }
            for event in events {
                told.append(event)
                watch.observe(event, session.handle(event), session)
                guard watch.problems.isEmpty else {
                    Issue.record("seed \(seed): \(watch.problems)\n\(policy)\n\(told.map { "\($0)" }.joined(separator: "\n"))")
                    return
                }
            }
        }
    }

    private static func beginning(_ facts: Session.Facts, _ dice: inout Dice) -> [Event] {
        var events: [Event] = [.accepted]
        if !facts.isImplicit { events.append(.clientSent(Command(.auth, dice.pick(["TLS", "SSL"])))) }
        events += [.clientSecured, .backendConnected(backend), .backendSent(Reply(220, "Ready"))]
        if dice.chance(80) {
            events += [.clientSent(Command(.pbsz, "0")), .clientSent(Command(.prot, "P"))]
            events += [.clientSent(Command(.user, "anna")), .backendSent(Reply(230, "Welcome"))]
        }
        if dice.chance(60) {
            events += [
                .clientSent(Command(.pasv)), .backendSent(Reply(227, "(10,0,0,5,200,10)")), .clientDataListening(listening),
                .backendDataConnected,
            ]
            if dice.chance(30) { events.append(.clientDataBegan) }
            if dice.chance(80) { events.append(.clientSent(Command(dice.pick([.retr, .stor, .list, .stou]), "x"))) }
            if dice.chance(60) { events.append(.backendSent(Reply(150, "Here"))) }
        }
        return events
    }

    private static let backend = BackendFacts(address: SocketAddress("10.0.0.5:21")!)
    private static let listening = SocketAddress("203.0.113.1:50000")!

    private static let events: [Event] = {
        let lines = [
            "AUTH TLS", "PBSZ 0", "PROT P", "PROT C", "CCC", "USER anna", "PASS geheim", "ACCT geheim", "FEAT", "HOST a", "PWD",
            "XYZZY", "REIN",
            "PASV", "PASV", "EPSV", "EPSV ALL", "PORT 198,51,100,7,156,65", "EPRT |1|198.51.100.7|40001|", "PORT 10,0,0,5,0,21",
            "RETR x",
            "LIST", "STOR x", "STOU", "ABOR", "ABOR", "STAT", "STAT x", "NOOP", "QUIT", "GET /", "SITE PSWD geheim geheim",
            "pass\tgeheim",
        ]
        let replies = [
            Reply(110, "x"), Reply(120, "x"), Reply(125, "x"), Reply(150, "x"), Reply(150, "x"), Reply(200, "x"), Reply(211, "x"),
            Reply(220, "x"), Reply(221, "x"), Reply(225, "x"), Reply(226, "x"), Reply(226, "x"), Reply(227, "(10,0,0,5,200,10)"),
            Reply(227, "(192,168,0,1,0,21)"), Reply(227, "x"), Reply(229, "(|||51210|)"), Reply(230, "x"), Reply(250, "x"),
            Reply(331, "x"),
            Reply(421, "x"), Reply(425, "x"), Reply(426, "x"), Reply(450, "x"), Reply(500, "x"), Reply(502, "x"), Reply(530, "x"),
            Reply(550, "x"),
        ]
        var events: [Event] = lines.compactMap {
            if case .command(let command) = Command.parse(Array($0.utf8)) { .clientSent(command) } else { nil }
        }
        events += replies.map { .backendSent($0) }
        events += MalformedLine.allCases.map { .clientSentMalformed($0) }
        events += Script.failures.map { .backendDataFailed($0) } + Script.failures.map { .dataEnded(.failed($0, bytes: 5)) }
        events += FTPSession.Timer.allCases.map { .timerFired($0) }
        events += [
            .accepted, .clientSecured, .clientGone(.clientClosed), .backendConnected(backend), .backendUnavailable("x"),
            .backendConnectTimedOut, .backendSentPart(code: 211, bytes: Array("211-x\r\n".utf8)),
            .backendSentPart(code: 421, bytes: Array("421-x\r\n".utf8)), .backendSentNonsense, .backendSentEndlessReply,
            .backendClosed,
            .clientDataListening(listening), .noPassivePort, .backendDataListening(SocketAddress("10.0.0.1:60000")!),
            .backendDataConnected,
            .clientDataBegan, .clientDataReady, .dataEnded(.completed(bytes: 9)), .dataEnded(.completed(bytes: 9)),
            .drainRequested,
        ]
        return events
    }()
}
