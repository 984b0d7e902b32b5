import FTPProtocol

/// ABOR and its kin while a transfer runs (PROTOCOL 5.4), and finding the backend's place in the conversation again.
struct Aborting: Equatable {
    /// The client sent the ABOR, and sees what the backend answers.
    let passesReplies: Bool
    /// What the first reply was; nil before it.
    var first: First?
    enum First: Equatable {
        /// 4yz or 5yz: the transfer's; ABOR's own is to follow.
        case negative
        /// 2yz: it may have been for both, or one more follows within the window.
        case positive
    }
}

extension Session {
    /// What is acted on at once while a transfer runs; everything else waits its turn.
    func isUrgent(_ command: Command) -> Bool {
        switch command.verb {
        case .abor, .noop: true
        case .stat: command.argument.isEmpty
        default: false
        }
    }

    mutating func urgent(_ command: Command, _ transfer: Transfer) {
        switch command.verb {
        // Clients send it to keep the path open; most servers would answer only after the transfer.
        case .noop: reply(.noopDone)
        case .stat:
            statsPending += 1
            actions.append(.sendToBackend(command))
        default: abort(command, transfer)
        }
    }

    private mutating func abort(_ command: Command, _ transfer: Transfer) {
        send(command)
        if transfer.outcome == nil { actions.append(.endData(.abort)) }
        var aborting = Aborting(passesReplies: true)
        if transfer.finalReply != nil {
            // The backend is through with it and has said so; the client does not know.
            answer(transfer, .aborted)
            aborting.first = .negative
        }
        beginAborting(aborting)
    }

    mutating func abortVerification() {
        plan = nil
        actions.append(.endData(.abandon))
        reply(.aborted)
        reply(.abortDone)
        becomeIdle()
    }

    mutating func beginAborting(_ aborting: Aborting) {
        state = .aborting(aborting)
        actions += [.cancelTimer(.reply), .setTimer(.abortReply)]
        if aborting.passesReplies { actions.append(.setTimer(.abortGrace)) }
    }

    mutating func aborting(_ aborting: Aborting, _ reply: Reply) {
        var aborting = aborting
        if reply.code == 421 { return lastWords(reply) }
        if aborting.passesReplies { self.reply(reply) }
        guard reply.isFinal else { return }
        if statsPending > 0, (211...213).contains(reply.code) {
            statsPending -= 1
            return
        }
        guard aborting.first == nil else { return aborted() }
        actions += [.cancelTimer(.abortGrace), .endData(.abandonBackend)]
        aborting.first = reply.isNegative ? .negative : .positive
        state = .aborting(aborting)
        if aborting.first == .positive { actions.append(.setTimer(.abortWindow)) }
    }

    private mutating func aborted() {
        actions += [.cancelTimer(.abortGrace), .cancelTimer(.abortWindow), .cancelTimer(.abortReply), .endData(.abandonBackend)]
        becomeIdle()
    }

    mutating func abortTimer(_ timer: Timer) {
        guard case .aborting(let aborting) = state else { return }
        switch timer {
        case .abortGrace: actions.append(.endData(.abandonBackend))
        case .abortWindow:
            lateAbortReply = true
            aborted()
        default:
            if aborting.passesReplies {
                if aborting.first == nil { reply(.aborted) }
                reply(.abortDone)
            }
            actions.append(.endData(.abandonBackend))
            resynchronise()
        }
    }

    // MARK: - Resynchronising

    /// Sends a NOOP: what comes before its answer belongs to the past.
    mutating func resynchronise() {
        state = .resynchronising
        actions += [.cancelTimer(.abortGrace), .cancelTimer(.abortWindow), .cancelTimer(.abortReply)]
        send(Command(.noop))
    }

    mutating func resynchronising(_ reply: Reply) {
        if reply.code == 421 { return lastWords(reply) }
        guard reply.code == 200 || (500...502).contains(reply.code) else { return }
        actions.append(.cancelTimer(.reply))
        becomeIdle()
    }
}
