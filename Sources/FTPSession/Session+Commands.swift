import FTPProtocol

/// One command in flight: answered here, refused, or relayed.
extension Session {
    private static var longLineLimit: Int { 3 }
    private static var malformedLineLimit: Int { 20 }
    private static var foreignLineLimit: Int { 3 }

    mutating func received(_ line: Line) {
        switch state {
        case .initial, .securing, .closed: break
        // Its turn is now: the queue is for what has to wait.
        case .idle where queue.isEmpty: begin(line)
        default: queue.append(line)
        }
    }

    /// Acts on what is next, and on what does not wait for its turn: clients may have sent ABOR before the transfer began.
    mutating func takeFromQueue() {
        while true {
            if queue.isEmpty {
                // An idle session keeps no room for lines.
                if queue.capacity > 0 { queue = [] }
                return
            }
            if state == .idle {
                begin(queue.removeFirst())
            } else if let index = queue.firstIndex(where: { isUrgentNow($0) }),
                case .command(let command) = queue.remove(at: index)
            {
                urgent(command)
            } else {
                return
            }
        }
    }

    /// Nothing is in flight: this line is next.
    mutating func begin(_ line: Line) {
        switch line {
        case .command(let command): begin(command)
        case .malformed(let malformed): begin(malformed)
        }
    }

    private mutating func begin(_ malformed: MalformedLine) {
        actions.append(.note(.malformedLine(malformed)))
        malformedLines += 1
        if malformed == .tooLong { longLines += 1 }
        if longLines >= Self.longLineLimit || malformedLines >= Self.malformedLineLimit { return end(.tooManyBadLines) }
        switch malformed {
        case .illegalCharacter: reply(.illegalCharacter)
        case .empty: reply(.emptyLine)
        case .tooLong: reply(.lineTooLong)
        }
    }

    private mutating func begin(_ command: Command) {
        let row = CommandTable.row(for: command.verb)
        if isForeign(command, row) { return end(.notFTP) }
        if security == .clear, policy.controlTLS == .required, answeredBeforeTLS(command, row) { return }
        if user == nil, !row.beforeLogin { return refuse(command, .beforeLogin, .loginFirst) }
        if !policy.permits(command, row) { return refuse(command, .notPermitted, .notPermitted) }
        dispatch(command, row)
    }

    private mutating func dispatch(_ command: Command, _ row: CommandTable.Row) {
        switch command.verb {
        case .auth: return authenticate(command)
        case .pbsz, .prot, .ccc, .adat, .mic, .conf, .enc: return protect(command)
        case .rein: return refuse(command, .unsupported, .reinRefused)
        case .mode where command.wordText != "S": return refuse(command, .unsupported, .modeRefused)
        case .stru where command.wordText != "F": return refuse(command, .unsupported, .structureRefused)
        case .lprt, .lpsv, .sscn, .cpsv, .spsv, .passiveSwitch: return refuse(command, .unsupported, .notImplemented)
        case .host where login != .none: return refuse(command, .outOfOrder, .hostTooLate)
        case _ where command.argument.count > policy.limits.argument(of: command.verb):
            return refuse(command, .argumentTooLong, .argumentTooLong)
        case .user where !policy.permits(user: command): return refuse(command, .userDenied, .userDenied)
        case .user where !certificatePermits(user: command):
            return refuse(command, .otherCertificate, .otherCertificate)
        case .quit where readyBackend == nil:
            reply(.bye)
            return end(.clientQuit)
        default: break
        }
        relay(command, row)
    }

    /// To the backend, which is connected first where it is not.
    private mutating func relay(_ command: Command, _ row: CommandTable.Row) {
        switch backend {
        case .absent, .connecting, .greeting:
            if backend == .absent { connectBackend() }
            state = .awaitingBackend(command)
            actions.append(.cancelTimer(.idle))
            return
        case .failed(let reason): return end(reason)
        case .ready: break
        }
        switch row.kind {
        case .dataSetup: return prepareData(command)
        case .transfer(let kind): return startTransfer(command, kind)
        case .quit:
            state = .quitting
            actions += [.cancelTimer(.idle), .sendToBackend(command), .setTimer(.quit)]
            return
        default: break
        }
        if command.verb == .user { login = .named(command.argumentText, before: user) }
        let isCertified = command.verb == .user && storedPassword(for: command.argumentText) != nil
        state = isCertified ? .loggingIn(user: command, .naming) : .awaitingReply(to: command)
        actions.append(.cancelTimer(.idle))
        send(command)
    }

    /// The backend has greeted: what waited for it goes now.
    mutating func backendIsReady() {
        guard case .awaitingBackend(let command) = state else { return }
        state = .idle
        relay(command, CommandTable.row(for: command.verb))
    }

    // MARK: - Before TLS

    /// Answers what may be said in the clear, and refuses all else; false when the command is AUTH's business.
    private mutating func answeredBeforeTLS(_ command: Command, _ row: CommandTable.Row) -> Bool {
        switch command.verb {
        case .auth, .pbsz, .prot, .ccc, .adat, .mic, .conf, .enc: return false
        case .feat: reply(FeatureList.cleartext)
        case .help: reply(.help)
        case .noop: reply(.noopDone)
        case .host where policy.serves(host: command.argumentText): reply(.hostServed)
        case .host: refuse(command, .hostUnknown, .hostUnknown)
        case .clnt: reply(.clientNoted)
        case .opts where ["UTF8", "UTF8 ON"].contains(command.wordText): reply(.utf8On)
        case .quit:
            reply(.bye)
            end(.clientQuit)
        default: refuse(command, .beforeTLS, .tlsRequired)
        }
        return true
    }

    /// Whether the peer speaks something else: web, mail and shell clients say so with their first word; others after some
    /// words that nobody knows.
    private mutating func isForeign(_ command: Command, _ row: CommandTable.Row) -> Bool {
        guard login == .none, row.kind == .unknown else { return false }
        if Self.foreignVerbs.contains(command.verb.name) || command.verb.name.hasPrefix("SSH-") { return true }
        guard security == .clear else { return false }
        foreignLines += 1
        return foreignLines >= Self.foreignLineLimit
    }

    /// HTTP and its kin, SMTP, POP3 and IMAP.
    private static var foreignVerbs: Set<String> {
        [
            "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "TRACE", "PATCH", "PRI", "PROPFIND", "INVITE",
            "DESCRIBE",
            "EHLO", "HELO", "LHLO", "MAIL", "RCPT", "DATA", "STARTTLS", "CAPA", "CAPABILITY",
        ]
    }

    // MARK: - The backend's replies

    mutating func received(_ last: Reply) {
        let reply = collected.isEmpty ? last : Reply(code: last.code, bytes: collected + last.bytes)
        collected = []
        if case .greeting(let facts) = backend { return greeted(reply, facts) }
        if isLateAnswerToABOR(reply) {
            if lateAbortReply == .passes { pass(reply) }
            lateAbortReply = .none
            return
        }
        // Another ABOR's answer says nothing about the late one.
        if !isAwaitingAnswerToABOR { lateAbortReply = .none }
        if reply.code == 421, state != .quitting { return lastWords(reply) }
        if namesDataAddress(reply), !awaitsDataAddress { return misplaced(reply) }
        switch state {
        case .awaitingReply(let command): answered(command, reply)
        case .loggingIn(let user, let step): loggingIn(user, step, reply)
        case .preparingData(let setup) where setup.step == .awaitingReply: preparing(setup, .backendSent(reply))
        case .transferring(let transfer): transferring(transfer, reply)
        case .aborting(let aborting): self.aborting(aborting, reply)
        case .discarding: discarding(reply)
        case .resynchronising: resynchronising(reply)
        case .quitting:
            pass(reply, to: .quit)
            if reply.isFinal { close(.clientQuit) }
        default: unasked(reply)
        }
    }

    /// Lines pass as they come wherever no rule needs the whole reply: a slow listing in a reply must not time a client out.
    mutating func receivedPart(_ code: Int, _ bytes: [UInt8]) {
        switch state {
        case .awaitingReply(let command) where passesInParts(code, to: command.verb):
            actions += [.relayToClient(bytes), .setTimer(.reply)]
        default: collected += bytes
        }
    }

    private func passesInParts(_ code: Int, to verb: Command.Verb) -> Bool {
        verb != .feat && code != 421 && fits(code, to: verb) && !policy.hideBackend
            && !(lateAbortReply != .none && [225, 226].contains(code))
    }

    mutating func receivedNonsense() {
        actions.append(.note(.backendNonsense))
        nonsenseReplies += 1
        if nonsenseReplies >= Self.nonsenseLimit { end(.backendNonsense) }
    }

    private static var nonsenseLimit: Int { 5 }

    private mutating func greeted(_ greeting: Reply, _ facts: BackendFacts) {
        // 120: ready in some minutes.
        if greeting.isPreliminary { return actions.append(.setTimer(.greeting)) }
        guard greeting.isPositiveCompletion else {
            return backendFailed(.backendRefused(policy.hideBackend ? "code \(greeting.code)" : greeting.text))
        }
        backend = .ready(facts)
        actions.append(.cancelTimer(.greeting))
        backendIsReady()
    }

    private mutating func answered(_ command: Command, _ reply: Reply) {
        if reply.isPreliminary {
            actions.append(.setTimer(.reply))
            return pass(reply, to: command.verb)
        }
        actions.append(.cancelTimer(.reply))
        if command.verb == .feat {
            let policy = policy
            self.reply(FeatureList.merge(reply) { policy.hides(feature: $0) })
        } else if !fits(reply.code, to: command.verb) {
            answerUnexpected(command.verb, reply)
        } else {
            pass(reply, to: command.verb)
            loginAnswered(command, reply)
        }
        if state != .closed { commandIsOver() }
    }

    /// 227, 228 and 229 send the client somewhere. Where, the gateway says alone: the backend's own word for it, asked for or
    /// not, would lead past the gateway.
    private func namesDataAddress(_ reply: Reply) -> Bool { (227...229).contains(reply.code) }

    private var awaitsDataAddress: Bool {
        if case .preparingData(let setup) = state { setup.step == .awaitingReply } else { false }
    }

    private mutating func misplaced(_ reply: Reply) {
        guard case .awaitingReply(let command) = state else { return countUnasked(reply) }
        actions.append(.cancelTimer(.reply))
        answerUnexpected(command.verb, reply)
        commandIsOver()
    }

    /// A reply that cannot be the answer to this command (REQUIREMENTS S4).
    mutating func answerUnexpected(_ verb: Command.Verb, _ reply: Reply) {
        actions.append(.note(.unexpectedReply(to: verb, code: reply.code)))
        self.reply(.unexpected)
    }

    /// Answered; STATs that were sent during a transfer may still want their answers.
    mutating func commandIsOver() {
        guard statsPending > 0 else { return becomeIdle() }
        statsPending -= 1
        state = .awaitingReply(to: Command(.stat))
        actions.append(.setTimer(.reply))
    }

    /// Keeps account of who is logged in.
    private mutating func loginAnswered(_ command: Command, _ reply: Reply) {
        guard case .named(let name, let before) = login, [.user, .pass, .acct].contains(command.verb) else { return }
        if reply.code == 230 || reply.code == 232 {
            login = .done(user: name)
            actions += [.note(.loggedIn(user: name)), .cancelTimer(.login)]
        } else if reply.isNegative, command.verb == .user {
            login = before.map { .done(user: $0) } ?? .none
        } else if reply.isNegative, command.verb != .user, reply.code != 503 {
            // Some servers take another password without another USER, so the name stays.
            loginFailures += 1
            actions.append(.note(.loginFailed(user: name)))
            if policy.maxLoginAttempts > 0, loginFailures >= policy.maxLoginAttempts { end(.tooManyLoginFailures) }
        }
    }

    /// Whether a final reply can be the answer to this command at all.
    private func fits(_ code: Int, to verb: Command.Verb) -> Bool {
        if (100...199).contains(code) || (400...599).contains(code) { return true }
        if (227...229).contains(code) { return false }
        return switch verb {
        // Nobody has been named who could be logged in.
        case .pass where login == .none, .acct where login == .none: code == 202 || code == 332
        case .user: [230, 232, 331, 332].contains(code)
        case .pass: [200, 202, 230, 232, 332].contains(code)
        default: true
        }
    }

    private func isLateAnswerToABOR(_ reply: Reply) -> Bool {
        guard lateAbortReply != .none, reply.code == 225 || reply.code == 226 else { return false }
        return switch state {
        // Its own answer looks the same.
        case .awaitingReply: !isAwaitingAnswerToABOR
        case .transferring(let transfer): !transfer.hasBegun
        case .aborting: false
        default: true
        }
    }

    private var isAwaitingAnswerToABOR: Bool {
        if case .awaitingReply(let command) = state { command.verb == .abor } else { false }
    }

    /// Nothing was asked: it passes, and answers nothing that comes later.
    private mutating func unasked(_ reply: Reply) {
        countUnasked(reply)
        // Between AUTH and TLS nothing can be said.
        if state != .securing, state != .closed { pass(reply) }
    }

    private mutating func countUnasked(_ reply: Reply) {
        actions.append(.note(.unaskedReply(code: reply.code)))
        unaskedReplies += 1
        if unaskedReplies >= Self.unaskedLimit { end(.backendUnasked) }
    }

    private static var unaskedLimit: Int { 100 }

    /// The backend's 421 passes, and the session is over.
    private mutating func lastWords(_ reply: Reply) {
        if case .transferring(let transfer) = state { note(transfer, endedWithCode: reply.code) }
        if state != .securing { pass(reply) }
        close(.backendSaidGoodbye(reply.text))
    }
}
