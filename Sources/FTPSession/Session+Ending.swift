import FTPProtocol

/// Timeouts, either side gone, drain: every way in which a session ends.
extension Session {
    /// Tells the client why, where it can be told, and closes.
    mutating func end(_ reason: CloseReason) {
        if let farewell = reason.farewell, state != .securing, state != .initial { reply(farewell) }
        close(reason)
    }

    mutating func close(_ reason: CloseReason) {
        // Every transfer has its line in the log, with code 0 where nobody was left to be told.
        switch state {
        case .transferring(let transfer): note(transfer, endedWithCode: 0, .sessionEnded(reason))
        case .verifying(let command):
            noteEnd(
                TransferRecord(command: command, direction: .upload, outcome: nil, code: 0, interruption: .sessionEnded(reason)))
        case .aborting(let aborting): if let record = aborting.record { noteEnd(record) }
        default: break
        }
        state = .closed
        queue = []
        collected = []
        actions.append(.close(reason))
    }

    mutating func fired(_ timer: Timer) {
        switch timer {
        case .login: if user == nil { end(.loginTimeout) }
        case .handshake: if state == .securing { end(.handshakeTimeout) }
        case .idle: if state == .idle { end(.idleTimeout) }
        case .greeting: if case .greeting = backend { backendFailed(.backendGreetingTimeout) }
        case .reply: if awaitsReply { end(.backendReplyTimeout) }
        case .dataSettle: if case .preparingData(let setup) = state { preparing(setup, .timerFired(timer)) }
        case .quit: if state == .quitting { quitUnanswered() }
        case .abortGrace, .abortWindow, .abortReply: abortTimer(timer)
        case .afterFailure: failureUnanswered()
        case .drain: if state == .idle { end(.shutdown) }
        }
    }

    private var awaitsReply: Bool {
        switch state {
        case .awaitingReply, .resynchronising: true
        case .preparingData(let setup): setup.step == .awaitingReply
        case .transferring(let transfer): !transfer.hasBegun || transfer.outcome != nil
        default: false
        }
    }

    private mutating func quitUnanswered() {
        reply(.bye)
        close(.clientQuit)
    }

    /// No backend: the client hears of it with its next command, or at once when a command waits.
    mutating func backendFailed(_ reason: CloseReason) {
        backend = .failed(reason)
        actions.append(.cancelTimer(.greeting))
        if case .awaitingBackend = state { end(reason) }
    }

    mutating func backendClosed() {
        switch (backend, state) {
        case (.greeting, _): backendFailed(.backendUnavailable("it closed the connection without a greeting"))
        case (_, .quitting): quitUnanswered()
        case (_, .transferring(let transfer)):
            // Its last words were the final reply: the client gets it once the bytes are out, and the session ends then.
            backend = .failed(.backendClosed)
            if transfer.finalReply != nil, transfer.outcome == nil { return }
            if transfer.outcome == nil { actions.append(.endData(.abandon)) }
            answer(transfer, transfer.failure?.reply ?? .backendBrokeOff, .sessionEnded(.backendClosed))
            end(.backendClosed)
        case (_, .verifying(let command)):
            dropPlan()
            answer(
                TransferRecord(
                    command: command, direction: .upload, outcome: nil, code: 0, interruption: .sessionEnded(.backendClosed)),
                .backendBrokeOff)
            end(.backendClosed)
        default: end(.backendClosed)
        }
    }
}
