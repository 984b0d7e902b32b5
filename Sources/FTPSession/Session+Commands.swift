import FTPProtocol

/// One command in flight: answered here, refused, or relayed.
extension Session {
    mutating func received(_ command: Command) {
        switch state {
        case .idle where queue.isEmpty: begin(command)
        case .transferring(let transfer) where isUrgent(command): urgent(command, transfer)
        case .verifying where command.verb == .noop: reply(.noopDone)
        case .verifying where command.verb == .abor: abortVerification()
        case .aborting where command.verb == .noop: reply(.noopDone)
        case .initial, .securing, .closed: break
        default: queue.append(command)
        }
    }

    mutating func received(_ malformed: MalformedLine) {
        switch malformed {
        case .illegalCharacter: reply(.illegalCharacter)
        case .tooLong: reply(.lineTooLong)
        case .empty: reply(.emptyLine)
        }
        badLines += 1
        if badLines >= Self.badLineLimit { end(.tooManyBadLines) }
    }

    private static var badLineLimit: Int { 3 }
    private static var userLimit: Int { 256 }
    private static var passwordLimit: Int { 1024 }
    private static var unknownCommandLimit: Int { 3 }

    /// Nothing is in flight: this command is next.
    mutating func begin(_ command: Command) {
        let row = CommandTable.row(for: command.verb)
        if security == .clear {
            if Self.belongsToOthers(command.verb), login == .none { return end(.notFTP) }
            if policy.controlTLS == .required, answeredBeforeTLS(command, row) { return }
        }
        if user == nil, !row.beforeLogin, isSecured || policy.controlTLS == .optional {
            return refuse(command, .beforeLogin, .loginFirst)
        }
        if let refusal = policy.refusal(of: command, row) { return refuse(command, .notPermitted, refusal) }
        dispatch(command, row)
    }

    private mutating func dispatch(_ command: Command, _ row: CommandTable.Row) {
        switch command.verb {
        case .auth: return authenticate(command)
        case .pbsz, .prot, .ccc, .adat, .mic, .conf, .enc: return protect(command)
        case .rein: return refuse(command, .unsupported, .reinRefused)
        case .mode where command.argumentText.uppercasedASCII != "S": return refuse(command, .unsupported, .modeRefused)
        case .stru where command.argumentText.uppercasedASCII != "F": return refuse(command, .unsupported, .structureRefused)
        case .lprt, .lpsv, .sscn, .cpsv, .spsv, .passiveSwitch: return refuse(command, .unsupported, .notImplemented)
        case .host where login != .none: return reply(.hostTooLate)
        case .user where command.argument.count > Self.userLimit, .pass where command.argument.count > Self.passwordLimit:
            return refuse(command, .notPermitted, .lineTooLong)
        case .user where !policy.permitsUser(command.argumentText): return refuse(command, .userDenied, .userDenied)
        case .quit where backendFacts == nil:
            reply(.bye)
            return end(.clientQuit)
        default: break
        }
        relay(command, row)
    }

    /// To the backend, which is connected first where it is not.
    private mutating func relay(_ command: Command, _ row: CommandTable.Row) {
        switch backend {
        case .absent:
            connectBackend()
            state = .awaitingBackend(command)
            actions.append(.cancelTimer(.idle))
            return
        case .connecting, .greeting:
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
        if command.verb == .user { login = .named(command.argumentText) }
        state = .awaitingReply(to: command)
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
        case .host: reply(.hostUnknown)
        case .clnt: reply(.clientNoted)
        case .opts where command.argumentText.uppercasedASCII.hasPrefix("UTF8"): reply(.utf8On)
        case .quit:
            reply(.bye)
            end(.clientQuit)
        default:
            refuse(command, .beforeTLS, .tlsRequired)
            if row.kind == .unknown {
                unknownCommands += 1
                if unknownCommands >= Self.unknownCommandLimit { end(.notFTP) }
            }
        }
        return true
    }

    /// What web, mail and shell clients say first: nothing of FTP follows.
    private static func belongsToOthers(_ verb: Command.Verb) -> Bool {
        ["GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "TRACE", "PATCH", "EHLO", "HELO", "MAIL", "RCPT"]
            .contains(verb.name) || verb.name.hasPrefix("SSH-")
    }

    // MARK: - The backend's replies

    mutating func received(_ reply: Reply) {
        var reply = reply
        if !collected.isEmpty {
            reply = Reply(code: reply.code, bytes: collected + reply.bytes)
            collected = []
        }
        if case .greeting(let facts) = backend { return greeted(reply, facts) }
        switch state {
        case .awaitingReply(let command): answered(command, reply)
        case .preparingData(let setup): preparing(setup, .backendSent(reply))
        case .transferring(let transfer): transferring(transfer, reply)
        case .aborting(let aborting): self.aborting(aborting, reply)
        case .discarding: discarding(reply)
        case .resynchronising: resynchronising(reply)
        case .quitting:
            self.reply(reply)
            if reply.isFinal { end(.clientQuit) }
        default: unasked(reply)
        }
    }

    /// Lines pass as they come wherever no rule needs the whole reply: a slow listing in a reply must not time a client out.
    mutating func receivedPart(_ code: Int, _ bytes: [UInt8]) {
        switch state {
        case .awaitingReply(let command) where command.verb != .feat && fits(code, to: command.verb):
            actions += [.relayToClient(bytes), .setTimer(.reply)]
        default:
            collected += bytes
        }
    }

    mutating func receivedNonsense() {
        actions.append(.note(.backendNonsense))
        nonsenseReplies += 1
        if nonsenseReplies >= 5 { end(.backendMisbehaved) }
    }

    private mutating func greeted(_ greeting: Reply, _ facts: BackendFacts) {
        if greeting.isPreliminary { return }
        guard greeting.isPositiveCompletion else { return backendFailed(.backendRefused(greeting.text)) }
        backend = .ready(facts)
        actions.append(.cancelTimer(.greeting))
        backendIsReady()
    }

    private mutating func answered(_ command: Command, _ reply: Reply) {
        if lateAbortReply, reply.code == 225 || reply.code == 226 {
            lateAbortReply = false
            return self.reply(reply)
        }
        if reply.code == 421 { return lastWords(reply) }
        if reply.isPreliminary {
            actions.append(.setTimer(.reply))
            return self.reply(reply)
        }
        lateAbortReply = false
        actions.append(.cancelTimer(.reply))
        guard fits(reply.code, to: command.verb) else {
            actions.append(.note(.unexpectedReply(to: command.verb, code: reply.code)))
            self.reply(.unexpected)
            return becomeIdle()
        }
        let isOver = command.verb == .feat ? false : loginAnswered(command, reply)
        if isOver { return }
        if command.verb == .feat {
            let policy = policy
            self.reply(FeatureList.merge(reply) { policy.hides(feature: $0) })
        } else {
            self.reply(reply)
        }
        becomeIdle()
    }

    /// Keeps account of who is logged in.
    /// - Returns: true when the session ends with this reply.
    private mutating func loginAnswered(_ command: Command, _ reply: Reply) -> Bool {
        guard [.user, .pass, .acct].contains(command.verb) else { return false }
        let name =
            switch login {
            case .named(let name), .done(let name): name
            case .none: ""
            }
        if reply.code == 230 || reply.code == 232 {
            login = .done(user: name)
            actions += [.note(.loggedIn(user: name)), .cancelTimer(.login)]
        } else if reply.isNegative, command.verb == .pass {
            login = .none
            loginFailures += 1
            actions.append(.note(.loginFailed(user: name)))
            if policy.maxLoginAttempts > 0, loginFailures >= policy.maxLoginAttempts {
                self.reply(reply)
                end(.tooManyLoginFailures)
                return true
            }
        }
        return false
    }

    /// Whether a final reply can be the answer to this command at all.
    private func fits(_ code: Int, to verb: Command.Verb) -> Bool {
        if (400...599).contains(code) { return true }
        return switch verb {
        case .user: [230, 232, 331, 332].contains(code)
        case .pass: [200, 202, 230, 232, 332].contains(code)
        default: (200...399).contains(code)
        }
    }

    /// Nothing was asked: 421 ends the session, anything else passes and answers nothing that comes later.
    private mutating func unasked(_ reply: Reply) {
        lateAbortReply = false
        if reply.code == 421 { return lastWords(reply) }
        self.reply(reply)
    }

    /// The backend's 421 passes, and the session is over.
    mutating func lastWords(_ reply: Reply) {
        self.reply(reply)
        close(.backendClosed)
    }
}
