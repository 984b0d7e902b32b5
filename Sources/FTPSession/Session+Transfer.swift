import FTPProtocol

/// A transfer command on its way (PROTOCOL 5). It is over when both halves are in, in either order: the backend's final reply,
/// and the end of the data. Saying 226 before the bytes are out makes clients cut files short.
struct Transfer: Equatable {
    let command: Command
    let direction: Direction
    let dialsClient: Bool
    /// The client has had its 1yz from us already: the backend's is swallowed.
    let gaveOwnPreliminary: Bool
    /// The backend has said 1yz, or a 2yz that stands for it: the relay runs.
    var hasBegun = false
    var finalReply: Reply?
    var outcome: DataOutcome?

    var failure: DataFailure? {
        if case .failed(let failure, _) = outcome { failure } else { nil }
    }
}

extension Session {
    mutating func startTransfer(_ command: Command, _ kind: CommandTable.Row.Transfer) {
        let direction: Direction = kind == .upload ? .upload : .download
        guard let plan else { return refuse(command, .noDataPlan, .usePlanFirst) }
        // Asked here and not where data could be refused earlier: a client must get an answer, not a connection that hangs.
        if !isDataPrivate, policy.dataTLS == .required {
            dropPlan()
            return refuse(command, .clearData, .protFirst)
        }
        if let failure = plan.failure {
            dropPlan()
            return answer(
                TransferRecord(command: command, direction: direction, outcome: .failed(failure, bytes: 0), code: 0),
                failure.reply)
        }
        guard direction == .upload, isDataPrivate, plan.clientProgress != .ready else {
            return sendTransfer(command, direction, gaveOwnPreliminary: false)
        }
        // A client that fails TLS must not have emptied the old file. The 150 to STOU carries the name: it can't be ours.
        switch policy.verifyBeforeStore {
        case .always where command.verb != .stou:
            reply(.readyForData)
            if case .active = plan.client { actions.append(.dialClient) }
            verify(command)
        case .auto where plan.clientProgress == .begun: verify(command)
        default: sendTransfer(command, direction, gaveOwnPreliminary: false)
        }
    }

    private mutating func verify(_ command: Command) {
        state = .verifying(command)
        actions += [.cancelTimer(.idle), .awaitClientData]
    }

    /// The plan is used up or of no use: both of its sides go.
    mutating func dropPlan() {
        guard plan != nil else { return }
        plan = nil
        actions.append(.endData(.abandon))
    }

    mutating func clientDataBegan() {
        if case .preparingData(var setup) = state {
            setup.clientProgress = .begun
            state = .preparingData(setup)
        }
        if plan?.clientProgress == .waiting { plan?.clientProgress = .begun }
    }

    mutating func clientDataReady() {
        if case .preparingData(var setup) = state {
            setup.clientProgress = .ready
            state = .preparingData(setup)
        }
        plan?.clientProgress = .ready
        guard case .verifying(let command) = state else { return }
        let isAlways = policy.verifyBeforeStore == .always
        sendTransfer(command, .upload, gaveOwnPreliminary: isAlways && command.verb != .stou)
    }

    private mutating func sendTransfer(_ command: Command, _ direction: Direction, gaveOwnPreliminary: Bool) {
        var dialsClient = false
        if case .active = plan?.client, plan?.clientProgress == .waiting { dialsClient = true }
        plan = nil
        state = .transferring(
            Transfer(command: command, direction: direction, dialsClient: dialsClient, gaveOwnPreliminary: gaveOwnPreliminary))
        actions.append(.cancelTimer(.idle))
        send(command)
    }

    // MARK: - The backend's replies

    mutating func transferring(_ transfer: Transfer, _ reply: Reply) {
        var transfer = transfer
        if isAnswerToSTAT(reply, mayBeRefusal: transfer.hasBegun) { return }
        if reply.isPreliminary {
            if transfer.hasBegun || !transfer.gaveOwnPreliminary { pass(reply) }
            // 110 and 120 come before or during a transfer, and begin none.
            if reply.code == 110 || reply.code == 120 {
                if !transfer.hasBegun { actions.append(.setTimer(.reply)) }
                return
            }
            startRelay(&transfer, reply)
            state = .transferring(transfer)
            return
        }
        if reply.isIntermediate {
            actions += [.endData(.abandon), .note(.unexpectedReply(to: transfer.command.verb, code: reply.code))]
            return finish(transfer, .unexpected)
        }
        if reply.isNegative { return refused(transfer, reply) }
        startRelay(&transfer, reply)
        transfer.finalReply = reply
        conclude(transfer)
    }

    private mutating func startRelay(_ transfer: inout Transfer, _ announcement: Reply) {
        guard !transfer.hasBegun else { return }
        transfer.hasBegun = true
        guard transfer.outcome == nil else { return }
        actions.append(.cancelTimer(.reply))
        if transfer.dialsClient { actions.append(.dialClient) }
        actions.append(.startRelay(transfer.direction, announcement: announcement))
    }

    /// 4yz and 5yz pass at once: a reader that stalls would hold them back for ever.
    private mutating func refused(_ transfer: Transfer, _ reply: Reply) {
        let drains = transfer.direction == .upload && (transfer.hasBegun || transfer.gaveOwnPreliminary)
        if transfer.outcome == nil { actions.append(.endData(drains ? .drainClient : .abandon)) }
        finish(transfer, reply)
    }

    // MARK: - The data's end

    mutating func dataEnded(_ outcome: DataOutcome) {
        switch state {
        case .verifying(let command):
            plan = nil
            guard case .failed(let failure, _) = outcome else { return }
            answer(TransferRecord(command: command, direction: .upload, outcome: outcome, code: 0), failure.reply)
            becomeIdle()
        case .transferring(var transfer) where transfer.outcome == nil:
            transfer.outcome = outcome
            conclude(transfer)
        case .preparingData(var setup):
            if case .failed(let failure, _) = outcome { setup.failure = failure }
            state = .preparingData(setup)
        default:
            if case .failed(let failure, _) = outcome { plan?.failure = failure }
        }
    }

    private mutating func conclude(_ transfer: Transfer) {
        state = .transferring(transfer)
        guard let outcome = transfer.outcome else { return }
        guard case .failed(let failure, _) = outcome else {
            guard let reply = transfer.finalReply else { return actions.append(.setTimer(.reply)) }
            return finish(transfer, reply)
        }
        let isCutUpload = transfer.direction == .upload && failure.isIncompleteUpload
        if let reply = transfer.finalReply {
            if isCutUpload { actions.append(.note(.backendMayHaveKeptUpload(bytes: outcome.bytes))) }
            return finish(transfer, reply.isNegative && !failure.isAnsweredAtOnce ? reply : failure.reply)
        }
        guard failure.isAnsweredAtOnce else {
            actions += [.cancelTimer(.reply), .setTimer(.afterFailure)]
            return
        }
        answer(transfer, failure.reply)
        if readyBackend == nil {
            becomeIdle()
        } else if isCutUpload {
            // Behind the reset it tells a backend that takes any end for the whole file to throw it away.
            send(Command(.abor))
            beginAborting(Aborting(cutAfterBytes: outcome.bytes))
        } else {
            state = .discarding
            actions += [.cancelTimer(.reply), .setTimer(.afterFailure)]
        }
    }

    /// The backend has not answered a failed transfer in time.
    mutating func failureUnanswered() {
        switch state {
        case .transferring(let transfer):
            guard let failure = transfer.failure else { return }
            answer(transfer, failure.reply)
            resynchronise()
        case .discarding: resynchronise()
        default: break
        }
    }

    mutating func discarding(_ reply: Reply) {
        if isAnswerToSTAT(reply, mayBeRefusal: true) { return }
        guard reply.isFinal else { return }
        actions.append(.cancelTimer(.afterFailure))
        commandIsOver()
    }

    private mutating func finish(_ transfer: Transfer, _ reply: Reply) {
        actions += [.cancelTimer(.reply), .cancelTimer(.afterFailure)]
        note(transfer, endedWithCode: reply.code)
        // The gateway's own replies hide nothing, and pass unchanged.
        pass(reply)
        commandIsOver()
    }

    /// For the log; the transfer is over with this.
    mutating func note(_ transfer: Transfer, endedWithCode code: Int, _ interruption: TransferRecord.Interruption? = nil) {
        noteEnd(
            TransferRecord(
                command: transfer.command, direction: transfer.direction, outcome: transfer.outcome, code: code,
                interruption: interruption))
        state = .idle
    }

    mutating func noteEnd(_ record: TransferRecord) { actions.append(.note(.transferEnded(record))) }

    mutating func answer(_ transfer: Transfer, _ reply: Reply, _ interruption: TransferRecord.Interruption? = nil) {
        note(transfer, endedWithCode: reply.code, interruption)
        self.reply(reply)
    }

    mutating func answer(_ record: TransferRecord, _ reply: Reply) {
        var record = record
        record.code = reply.code
        noteEnd(record)
        self.reply(reply)
    }
}

extension DataFailure {
    /// Whether the client is answered before the backend has said what it makes of the broken connection.
    fileprivate var isAnsweredAtOnce: Bool {
        switch self {
        case .clientClosedEarly, .backendBroke: false
        default: true
        }
    }
}
