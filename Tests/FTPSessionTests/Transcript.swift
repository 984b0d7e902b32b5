import FTPProtocol
import Wire

@testable import FTPSession

/// One scene of a transcript: what the session is told, and what it is to have done. Transcripts/README.txt says how they are
/// written.
struct Scene: CustomStringConvertible {
    struct Step {
        enum Stimulus {
            /// Lines that the client sends, or the backend, in one piece.
            case client([String])
            case backend([String])
            case event(String)
        }
        let line: Int
        let stimulus: Stimulus
        var expected: [String] = []
    }

    let file: String
    let title: String
    var settings: [(line: Int, text: String)] = []
    var steps: [Step] = []

    var description: String { "\(file): \(title)" }

    /// All scenes of a file.
    static func read(_ text: String, file: String) throws -> [Scene] {
        var scenes: [Scene] = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let number = index + 1
            func fail(_ problem: String) -> Script.Problem { Script.Problem(description: "\(file):\(number): \(problem)") }
            if line.isEmpty || line.hasPrefix("#") { continue }
            if line.hasPrefix("=== ") {
                scenes.append(Scene(file: file, title: String(line.dropFirst(4))))
                continue
            }
            guard var scene = scenes.popLast() else { throw fail("a scene begins with === and its title") }
            do {
                try scene.take(String(line), number)
            } catch {
                throw fail("\(error)")
            }
            scenes.append(scene)
        }
        return scenes
    }

    private mutating func take(_ line: String, _ number: Int) throws {
        if line.hasPrefix("C: ") {
            steps.append(Step(line: number, stimulus: .client([String(line.dropFirst(3))])))
        } else if line == "C:" {
            steps.append(Step(line: number, stimulus: .client([""])))
        } else if line == "B:" {
            steps.append(Step(line: number, stimulus: .backend([""])))
        } else if line.hasPrefix("B: ") {
            steps.append(Step(line: number, stimulus: .backend([String(line.dropFirst(3))])))
        } else if line.hasPrefix("* ") {
            steps.append(Step(line: number, stimulus: .event(String(line.dropFirst(2)))))
        } else if line.hasPrefix("→") || line.hasPrefix(" |") {
            guard var step = steps.popLast() else { throw Script.Problem(description: "nothing has happened yet") }
            switch step.stimulus {
            case .client(let lines) where line.hasPrefix(" |") && step.expected.isEmpty:
                step = Step(line: step.line, stimulus: .client(lines + [String(line.dropFirst(3))]))
            case .backend(let lines) where line.hasPrefix(" |") && step.expected.isEmpty:
                step = Step(line: step.line, stimulus: .backend(lines + [String(line.dropFirst(3))]))
            default: step.expected.append(line)
            }
            steps.append(step)
        } else {
            guard steps.isEmpty else { throw Script.Problem(description: "no step, and too late for a setting: \(line)") }
            settings.append((number, line))
        }
    }
}

/// A session with what the driver puts around it: framers in front, and the rule about bytes behind AUTH.
struct Stage: ~Copyable {
    private(set) var session: Session
    private var framer: LineFramer
    private var parser: ReplyParser
    private(set) var actions: [Action] = []
    var watch: Watch

    init(policy: SessionPolicy = SessionPolicy(), facts: Session.Facts = Self.facts) {
        session = Session(policy: SharedPolicy(policy), facts: facts)
        framer = LineFramer(limit: policy.limits.commandLine)
        parser = ReplyParser(limits: policy.limits.reply)
        watch = Watch(policy: policy, facts: facts)
    }

    static let facts = Session.Facts(
        client: SocketAddress("198.51.100.7:40000")!, isImplicit: false, passiveAddress: IPAddress(203, 0, 113, 1),
        ownPorts: [21, 990, 50000])

    mutating func client(_ bytes: [UInt8]) {
        framer.append(contentsOf: bytes)
        takeLines()
    }

    mutating func backend(_ bytes: [UInt8]) {
        parser.append(contentsOf: bytes)
        while let piece = parser.next() {
            switch piece {
            case .reply(let reply): handle(.backendSent(reply))
            case .notAReply: handle(.backendSentNonsense)
            case .tooLong: handle(.backendSentEndlessReply)
            }
        }
        if let part = parser.takePart() { handle(.backendSentPart(code: part.code, bytes: part.bytes)) }
    }

    mutating func handle(_ event: Event) {
        let new = session.handle(event)
        watch.observe(event, new, session)
        actions += new
        if new.contains(.startTLS), !session.facts.isImplicit, framer.pendingCount > 0 {
            // As the driver does: 234 is not sent, nothing that came behind AUTH is ever looked at.
            actions.removeAll { $0 == .replyToClient(.startTLS) || $0 == .startTLS }
            handle(.clientGone(.pipelinedBeforeTLS))
        }
        takeLines()
    }

    private mutating func takeLines() {
        while session.takesCommands, let line = framer.next() {
            guard case .line(let bytes) = line else {
                handle(.clientSentMalformed(.tooLong))
                continue
            }
            switch Command.parse(bytes) {
            case .command(let command): handle(.clientSent(command))
            case .illegalCharacter: handle(.clientSentMalformed(.illegalCharacter))
            case .empty: handle(.clientSentMalformed(.empty))
            case .telnetOnly: break
            }
        }
    }

    mutating func takeActions() -> [Action] {
        defer { actions = [] }
        return actions
    }
}

/// Plays scenes.
struct Player {
    private var policy = SessionPolicy()
    private var facts = Stage.facts
    private var showsTimers = false
    private var showsNotes = false
    private var prologue: [String] = []

    private static func prepared(for scene: Scene) throws -> Player {
        var player = Player()
        for (line, text) in scene.settings {
            do { try player.set(text) } catch { throw Script.Problem(description: "\(scene.file):\(line): \(error)") }
        }
        return player
    }

    private func stage() throws -> Stage {
        var stage = Stage(policy: policy, facts: facts)
        for text in prologue { try Self.perform(text, on: &stage) }
        _ = stage.takeActions()
        return stage
    }

    /// The promises that were broken, whatever the scene expects.
    static func watch(_ scene: Scene) throws -> [String] {
        var stage = try prepared(for: scene).stage()
        for step in scene.steps { try perform(step.stimulus, on: &stage) }
        return stage.watch.problems
    }

    /// What went otherwise than the scene says, for people; empty when nothing did.
    static func play(_ scene: Scene) throws -> [String] {
        let player = try prepared(for: scene)
        var stage = try player.stage()
        var problems: [String] = []
        for step in scene.steps {
            do { try Self.perform(step.stimulus, on: &stage) } catch {
                throw Script.Problem(description: "\(scene.file):\(step.line): \(error)")
            }
            let found = stage.takeActions().filter(player.isShown).flatMap(Script.text)
            if found != step.expected.map(Script.expanded) {
                problems.append(
                    "\(scene.file):\(step.line): expected\n\(step.expected.joined(separator: "\n"))\nfound\n"
                        + found.joined(separator: "\n"))
            }
        }
        return problems + stage.watch.problems.map { "\(scene): \($0)" }
    }

    static func perform(_ stimulus: Scene.Step.Stimulus, on stage: inout Stage) throws {
        switch stimulus {
        case .client(let lines): stage.client(try lines.flatMap { try Script.bytes($0) + [13, 10] })
        case .backend(let lines): stage.backend(try lines.flatMap { try Script.bytes($0) + [13, 10] })
        case .event(let text): stage.handle(try Script.event(text))
        }
    }

    /// One step as it stands in a transcript.
    static func perform(_ text: String, on stage: inout Stage) throws {
        if text == "C:" { return try perform(.client([""]), on: &stage) }
        if text.hasPrefix("C: ") { return try perform(.client([String(text.dropFirst(3))]), on: &stage) }
        if text.hasPrefix("B: ") { return try perform(.backend([String(text.dropFirst(3))]), on: &stage) }
        try perform(.event(String(text.dropFirst(2))), on: &stage)
    }

    private func isShown(_ action: Action) -> Bool {
        switch action {
        case .setTimer, .cancelTimer: showsTimers
        case .note: showsNotes
        default: true
        }
    }

    // MARK: - Settings

    private mutating func set(_ text: String) throws {
        let words = text.split(separator: " ", maxSplits: 1).map(String.init)
        let value = words.count > 1 ? words[1] : ""
        switch words[0] {
        case "start": prologue = try Prologues.named(value)
        case "implicit": facts.isImplicit = true
        case "client": facts.client = try require(SocketAddress(value), text)
        case "passive-address": facts.passiveAddress = value == "none" ? nil : try require(IPAddress(value), text)
        case "show":
            showsTimers = value.contains("timers")
            showsNotes = value.contains("notes")
        case "--control-tls": policy.controlTLS = try require(.init(rawValue: value), text)
        case "--data-tls": policy.dataTLS = try require(.init(rawValue: value), text)
        case "--backend-data": policy.backendData = try require(.init(rawValue: value), text)
        case "--backend-pasv-address":
            policy.backendPASVAddress = value == "any" ? .any : .networks([try require(CIDRBlock(value), text)])
        case "--verify-before-store": policy.verifyBeforeStore = try require(.init(rawValue: value), text)
        case "--access": policy.access = try require(.init(rawValue: value), text)
        case "--deny-command": policy.deniedCommands += patterns(value)
        case "--allow-command": policy.allowedCommands += patterns(value)
        case "--allow-user": policy.allowedUsers.append(value)
        case "--deny-user": policy.deniedUsers.append(value)
        case "--client-cert-login":
            let parts = value.split(separator: " ", maxSplits: 1).map(String.init)
            policy.certificateLogins[parts[0]] = Secret(Array(parts[1].utf8))
        case "--prot-default-explicit": policy.protDefaultExplicit = try require(.init(rawValue: value), text)
        case "--auth-ssl-prot": policy.authSSLProt = try require(.init(rawValue: value), text)
        case "--implicit-default-prot": policy.implicitDefaultProt = try require(.init(rawValue: value), text)
        case "--pbsz-optional": policy.pbszOptional = true
        case "--max-command-line": policy.limits.commandLine = try require(Int(value), text)
        case "--max-user-length": policy.limits.user = try require(Int(value), text)
        case "--max-password-length": policy.limits.password = try require(Int(value), text)
        case "--max-path-length": policy.limits.path = try require(Int(value), text)
        case "--max-reply-line": policy.limits.reply.lineBytes = try require(Int(value), text)
        case "--max-reply-bytes": policy.limits.reply.replyBytes = try require(Int(value), text)
        case "--max-reply-lines": policy.limits.reply.lines = try require(Int(value), text)
        case "--greeting": policy.greeting = value
        case "--hide-backend": policy.hideBackend = true
        case "--allow-ccc": policy.allowCCC = true
        case "--max-login-attempts": policy.maxLoginAttempts = try require(Int(value), text)
        case "no-certificate": facts.canSecure = false
        case "certificate-name": policy.hostNames.append(value)
        default: throw Script.Problem(description: "no such setting: \(text)")
        }
    }

    private func require<T>(_ value: T?, _ text: String) throws -> T {
        guard let value else { throw Script.Problem(description: "cannot be read: \(text)") }
        return value
    }

    private func patterns(_ list: String) -> [SessionPolicy.CommandPattern] {
        list.split(separator: ",").map {
            let parts = $0.split(separator: "=", maxSplits: 1).map(String.init)
            return SessionPolicy.CommandPattern(verb: Command.Verb(parts[0]), argument: parts.count > 1 ? parts[1] : nil)
        }
    }
}

/// Where a scene may begin, so that it need not tell what others have told.
enum Prologues {
    static func named(_ name: String) throws -> [String] {
        guard let steps = all[name] else { throw Script.Problem(description: "no such start: \(name)") }
        return steps
    }

    static let clear = ["* accepted"]
    static let secured = clear + ["C: AUTH TLS", "* secured"]
    static let greeted = secured + ["* backend connected 10.0.0.5:21", "B: 220 Backend ready"]
    static let loggedIn =
        greeted + ["C: PBSZ 0", "C: PROT P", "C: USER anna", "B: 331 Password?", "C: PASS geheim", "B: 230 Welcome"]
    static let passive =
        loggedIn + [
            "C: PASV", "B: 227 Entering Passive Mode (10,0,0,5,200,10)", "* data port for client 203.0.113.1:50000",
            "* backend data connected",
        ]
    static let active =
        loggedIn + ["C: PORT 198,51,100,7,156,65", "B: 227 Entering Passive Mode (10,0,0,5,200,10)", "* backend data connected"]
    static let downloading = passive + ["C: RETR file", "B: 150 Here it comes"]
    static let uploading = passive + ["C: STOR file", "B: 150 Go ahead"]

    static let all: [String: [String]] = [
        "nowhere": [],
        "clear": clear,
        "clear, logged in": clear + [
            "C: USER anna", "* backend connected 10.0.0.5:21", "B: 220 Backend ready", "B: 331 Password?", "C: PASS geheim",
            "B: 230 Welcome",
        ],
        "secured": secured,
        "secured, backend ready": greeted,
        "certified anna": clear + [
            "C: AUTH TLS", "* certified anna", "* secured", "* backend connected 10.0.0.5:21", "B: 220 Backend ready",
        ],
        "implicit, backend ready": clear + ["* secured", "* backend connected 10.0.0.5:21", "B: 220 Backend ready"],
        "logged in": loggedIn,
        "logged in, PROT C": greeted + ["C: USER anna", "B: 331 Password?", "C: PASS geheim", "B: 230 Welcome"],
        "passive": passive,
        "active": active,
        "downloading": downloading,
        "uploading": uploading,
    ]
}
