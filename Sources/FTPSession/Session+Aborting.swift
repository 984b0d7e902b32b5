import FTPProtocol

/// ABOR and its kin while a transfer runs (PROTOCOL 5.4), and finding the backend's place in the conversation again.
struct Aborting: Equatable {
    /// What came of an upload that the client cut: the ABOR is ours then, and its answers are not for the client.
    var cutAfterBytes: Int?
    /// What the first reply was; nil before it.
    var first: First?
    /// The transfer that ends with the first reply, where the log has not been told of it.
    var record: TransferRecord?
    var passesReplies: Bool { cutAfterBytes == nil }
    enum First: Equatable {
        /// 4yz or 5yz: the transfer's; ABOR's own is to follow.
        case negative
        /// 2yz: it may have been for both, or one more follows within the window.
        case positive
    }
}

extension Session {
    /// What is acted on at once while a transfer runs; everything else waits its turn.
    private func isUrgent(_ command: Command) -> Bool {
        switch (state, command.verb) {
        case (.transferring, .abor), (.transferring, .noop), (.verifying, .abor), (.verifying, .noop), (.aborting, .noop): true
        case (.transferring, .stat): command.argument.isEmpty && readyBackend != nil && statsPending < Self.statLimit
        default: false
        }
    }

    func isUrgentNow(_ line: Line) -> Bool {
        if case .command(let command) = line { isUrgent(command) } else { false }
    }

    mutating func urgent(_ command: Command) {
        guard policy.permits(command, CommandTable.row(for: command.verb)) else {
            return refuse(command, .notPermitted, .notPermitted)
        }
        switch (state, command.verb) {
        // Clients send it to keep the path open; most servers would answer only after the transfer.
        case (_, .noop): reply(.noopDone)
        case (_, .stat):
            statsPending += 1
            actions.append(.sendToBackend(command))
        case (.transferring(let transfer), _): abort(command, transfer)
        case (.verifying(let upload), _): abortVerification(upload)
        default: break
        }
    }

    private mutating func abort(_ command: Command, _ transfer: Transfer) {
        guard readyBackend != nil else {
            // It has closed behind its last reply: there is nobody to ask.
            actions.append(.endData(.abandon))
            answer(transfer, .aborted, .aborted)
            reply(.abortDone)
            return end(.backendClosed)
        }
        send(command)
        if transfer.outcome == nil { actions.append(.endData(.abort)) }
        var aborting = Aborting()
        if transfer.finalReply != nil {
            // The backend is through with it and has said so; the client does not know.
            answer(transfer, .aborted, .aborted)
            aborting.first = .negative
        } else {
            aborting.record = TransferRecord(
                command: transfer.command, direction: transfer.direction, outcome: transfer.outcome, code: 0,
                interruption: .aborted)
        }
        beginAborting(aborting)
    }

    private mutating func abortVerification(_ command: Command) {
        dropPlan()
        answer(TransferRecord(command: command, direction: .upload, outcome: nil, code: 0, interruption: .aborted), .aborted)
        reply(.abortDone)
        becomeIdle()
    }

    mutating func beginAborting(_ aborting: Aborting) {
        state = .aborting(aborting)
        actions += [.cancelTimer(.reply), .cancelTimer(.afterFailure), .setTimer(.abortReply)]
        if aborting.passesReplies { actions.append(.setTimer(.abortGrace)) }
    }

    mutating func aborting(_ aborting: Aborting, _ reply: Reply) {
        var aborting = aborting
        if isAnswerToSTAT(reply, mayBeRefusal: true) { return }
        if aborting.passesReplies { pass(reply) }
        guard reply.isFinal else { return }
        guard aborting.first == nil else { return aborted() }
        if var record = aborting.record.take() {
            record.code = reply.code
            noteEnd(record)
        }
        // 225 says that there was nothing to abort, and any other 2yz that the transfer is complete.
        if let bytes = aborting.cutAfterBytes, reply.isPositiveCompletion, reply.code != 225 {
            actions.append(.note(.backendMayHaveKeptUpload(bytes: bytes)))
        }
        actions += [.cancelTimer(.abortGrace), .endData(.abandonBackend)]
        aborting.first = reply.isNegative ? .negative : .positive
        state = .aborting(aborting)
        if aborting.first == .positive { actions.append(.setTimer(.abortWindow)) }
    }

    private mutating func aborted() {
        actions += [.cancelTimer(.abortGrace), .cancelTimer(.abortWindow), .cancelTimer(.abortReply), .endData(.abandonBackend)]
        commandIsOver()
    }

    mutating func abortTimer(_ timer: Timer) {
        guard case .aborting(let aborting) = state else { return }
        switch timer {
        case .abortGrace: actions.append(.endData(.abandonBackend))
        case .abortWindow:
            lateAbortReply = aborting.passesReplies ? .passes : .isDropped
            aborted()
        default:
            if aborting.passesReplies {
                if aborting.first == nil { answerAborted(aborting) }
                reply(.abortDone)
            }
            actions.append(.endData(.abandonBackend))
            resynchronise()
        }
    }

    private mutating func answerAborted(_ aborting: Aborting) {
        guard let record = aborting.record else { return reply(.aborted) }
        answer(record, .aborted)
    }

    // MARK: - STAT in a transfer

    /// Takes a reply that answers a STAT: 211 to 213, and the codes that no transfer ends with once it has begun (a backend
    /// that has no STAT says so).
    mutating func isAnswerToSTAT(_ reply: Reply, mayBeRefusal: Bool) -> Bool {
        let isRefusal = mayBeRefusal && (500...504).contains(reply.code)
        guard statsPending > 0, (211...213).contains(reply.code) || isRefusal else { return false }
        statsPending -= 1
        pass(reply, to: .stat)
        return true
    }

    // MARK: - Resynchronising

    /// Sends a NOOP: what comes before its answer belongs to the past, STAT's answers too.
    mutating func resynchronise() {
        state = .resynchronising
        actions += [
            .cancelTimer(.abortGrace), .cancelTimer(.abortWindow), .cancelTimer(.abortReply), .cancelTimer(.afterFailure),
        ]
        send(Command(.noop))
    }

    mutating func resynchronising(_ reply: Reply) {
        if isAnswerToSTAT(reply, mayBeRefusal: true) { return }
        guard reply.code == 200 || (500...502).contains(reply.code) else { return }
        actions.append(.cancelTimer(.reply))
        commandIsOver()
    }
}
