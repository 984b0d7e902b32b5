import FTPProtocol
import Wire

/// PASV, EPSV, PORT, EPRT on the client's side, translated to whatever the backend does (PROTOCOL 4).
struct DataSetup: Equatable {
    enum Step: Equatable {
        /// A port for the backend is being opened.
        case openingListener
        /// The first of `attempts` has been sent.
        case awaitingReply
        /// The backend's side is made or being made; the client is told when the last part is in.
        case settling(Settling)
    }
    struct Settling: Equatable {
        /// Where the client is to connect to; nil while no port is reserved, and for active clients.
        var promised: SocketAddress?
        var isBackendSettled: Bool
    }

    /// What the client sent.
    let command: Command
    let client: DataPlan.Client
    /// What the backend is sent, in this order, until it takes one.
    var attempts: [Command.Verb]
    var step: Step
    /// Where the backend is to connect to, in active mode.
    var listener: SocketAddress?
    var failure: DataFailure?
    /// A client may come before it is told that it may.
    var clientProgress = DataPlan.Progress.waiting
}

extension Session {
    mutating func prepareData(_ command: Command) {
        guard let backend = readyBackend, let client = dataWish(command) else { return }
        dropPlan()
        let attempts = policy.backendAttempts(for: command.verb, backend)
        let isActive = attempts[0] == .port || attempts[0] == .eprt
        let setup = DataSetup(
            command: command, client: client, attempts: attempts, step: isActive ? .openingListener : .awaitingReply)
        state = .preparingData(setup)
        actions += [.cancelTimer(.idle), .protectData(isDataPrivate)]
        if isActive {
            actions.append(.listenForBackend(backend.address.ip.unmapped.family))
        } else {
            send(Command(attempts[0]))
        }
    }

    /// Judges the client's argument; answers it by itself where it is no wish for a data connection.
    private mutating func dataWish(_ command: Command) -> DataPlan.Client? {
        if epsvOnly, command.verb != .epsv {
            refuse(command, .outOfOrder, .epsvAllSet)
            return nil
        }
        let own = facts.client.ip.unmapped.family
        let ownNumber = own == .v4 ? "1" : "2"
        switch command.verb {
        case .pasv:
            if facts.passiveAddress != nil { return .passive }
            refuse(command, .networkProtocol, .useEPSV)
        case .epsv:
            switch DataAddress.parseEPSV(command.word) {
            case .none: return .passive
            case .family(own): return .passive
            case .family, .unknownFamily: refuse(command, .networkProtocol, .networkProtocolUnsupported(use: ownNumber))
            case .malformed: refuse(command, .malformedArgument, .epsvMalformed)
            case .all:
                epsvOnly = true
                reply(.epsvAllDone)
            }
        case .port:
            guard let address = DataAddress.parsePORT(command.word) else {
                refuse(command, .malformedArgument, .portMalformed)
                return nil
            }
            return activeTarget(address, command)
        default:
            switch DataAddress.parseEPRT(command.word) {
            case .address(let address) where address.ip.unmapped.family == own: return activeTarget(address, command)
            case .address, .unknownFamily: refuse(command, .networkProtocol, .networkProtocolUnsupported(use: ownNumber))
            case .malformed: refuse(command, .malformedArgument, .eprtMalformed)
            }
        }
        return nil
    }

    /// The gateway connects to the client itself and to nobody else (RFC 2577 section 3).
    private mutating func activeTarget(_ address: SocketAddress, _ command: Command) -> DataPlan.Client? {
        // No address, as lftp says it over IPv6, means the one that we see.
        let isOwn = address.ip.isUnspecified || address.ip.unmapped == facts.client.ip.unmapped
        guard isOwn, address.port >= 1024, !facts.ownPorts.contains(address.port) else {
            refuse(command, .bounce, .bounceRefused)
            return nil
        }
        return .active(SocketAddress(ip: facts.client.ip, port: address.port, scope: facts.client.scope))
    }

    mutating func preparing(_ setup: DataSetup, _ event: Event) {
        var setup = setup
        switch (event, setup.step) {
        case (.backendDataListening(let address), .openingListener):
            setup.listener = address
            setup.step = .awaitingReply
            state = .preparingData(setup)
            send(setup.attempt(to: address))
        case (.backendSent(let reply), .awaitingReply):
            guard reply.isFinal else {
                actions.append(.setTimer(.reply))
                return pass(reply)
            }
            actions.append(.cancelTimer(.reply))
            backendAnswered(setup, reply)
        case (.clientDataListening(let address), .settling(var settling)):
            settling.promised = address
            setup.step = .settling(settling)
            settle(setup)
        case (.noPassivePort, .settling):
            actions += [.cancelTimer(.dataSettle), .endData(.abandon)]
            refuse(setup.command, .portsExhausted, .noFreePort)
            becomeIdle()
        case (.backendDataConnected, .settling(var settling)), (.timerFired, .settling(var settling)):
            settling.isBackendSettled = true
            setup.step = .settling(settling)
            settle(setup)
        case (.backendDataFailed(let failure), .settling(var settling)):
            settling.isBackendSettled = true
            setup.step = .settling(settling)
            setup.failure = failure
            settle(setup)
        case (.backendDataFailed(let failure), .openingListener):
            reply(failure.reply)
            becomeIdle()
        default:
            break
        }
    }

    private mutating func backendAnswered(_ setup: DataSetup, _ reply: Reply) {
        var setup = setup
        let verb = setup.attempts[0]
        if reply.isNegative {
            guard reply.code >= 500, reply.code != 530 else { return setupRefused(reply) }
            remember(refusalOf: verb)
            setup.attempts.removeFirst()
            guard let next = setup.attempts.first else { return setupRefused(reply) }
            state = .preparingData(setup)
            return send(setup.listener.map { setup.attempt(to: $0) } ?? Command(next))
        }
        var settling = DataSetup.Settling(promised: nil, isBackendSettled: false)
        switch verb {
        case .pasv, .epsv:
            guard let address = backendDataAddress(verb, reply) else { return unusable(setup, reply) }
            actions += [.dialBackendData(address), .setTimer(.dataSettle)]
        default:
            guard reply.isPositiveCompletion else { return unusable(setup, reply) }
            settling.isBackendSettled = true
        }
        setup.step = .settling(settling)
        state = .preparingData(setup)
        switch setup.client {
        case .passive: actions.append(.listenForClient)
        case .active(let address):
            actions.append(.planClient(address))
            settle(setup)
        }
    }

    private mutating func setupRefused(_ reply: Reply) {
        actions.append(.endData(.abandon))
        pass(reply)
        becomeIdle()
    }

    /// The backend's answer is none to this command, or names no address that can be dialled.
    private mutating func unusable(_ setup: DataSetup, _ reply: Reply) {
        let verb = setup.attempts[0]
        actions.append(.endData(.abandon))
        if reply.code == 227 && verb == .pasv || reply.code == 229 && verb == .epsv {
            actions.append(.note(.unexpectedReply(to: verb, code: reply.code)))
            self.reply(.backendAddressUnusable)
        } else {
            answerUnexpected(verb, reply)
        }
        becomeIdle()
    }

    /// The address to dial after 227 or 229. What a 227 names is not believed unless the operator said so (CVE-2020-8284).
    private func backendDataAddress(_ verb: Command.Verb, _ reply: Reply) -> SocketAddress? {
        guard let control = readyBackend?.address else { return nil }
        if verb == .epsv {
            guard reply.code == 229, let port = DataAddress.parse229(reply) else { return nil }
            return SocketAddress(ip: control.ip, port: port, scope: control.scope)
        }
        guard reply.code == 227, let told = DataAddress.parse227(reply) else { return nil }
        let isTrusted =
            switch policy.backendPASVAddress {
            case .control: false
            case .any: true
            case .networks(let networks): networks.contains { $0.contains(told.ip) }
            }
        return isTrusted ? told : SocketAddress(ip: control.ip, port: told.port, scope: control.scope)
    }

    /// Tells the client once everything is in.
    private mutating func settle(_ setup: DataSetup) {
        guard case .settling(let settling) = setup.step else { return }
        state = .preparingData(setup)
        guard settling.isBackendSettled else { return }
        var plan = DataPlan(client: setup.client)
        plan.failure = setup.failure
        plan.clientProgress = setup.clientProgress
        let answer: Reply
        switch setup.client {
        case .active: answer = .portAccepted
        case .passive:
            guard let promised = settling.promised else { return }
            answer =
                setup.command.verb == .epsv
                ? .enteringExtendedPassive(port: promised.port)
                : .enteringPassive(SocketAddress(ip: facts.passiveAddress ?? promised.ip, port: promised.port))
        }
        self.plan = plan
        actions.append(.cancelTimer(.dataSettle))
        // In front of the reply: when the client connects, it has a ticket that it has not used.
        if security == .encrypted, isDataPrivate { actions.append(.issueTicket) }
        reply(answer)
        becomeIdle()
    }

    mutating func backendDataFailed(_ failure: DataFailure, _ event: Event) {
        if case .preparingData(let setup) = state { return preparing(setup, event) }
        plan?.failure = failure
    }

    private mutating func remember(refusalOf verb: Command.Verb) {
        guard case .ready(var facts) = backend else { return }
        switch verb {
        case .epsv: facts.memory.refusesEPSV = true
        case .pasv: facts.memory.refusesPASV = true
        case .eprt: facts.memory.refusesEPRT = true
        default: facts.memory.refusesPORT = true
        }
        backend = .ready(facts)
        actions.append(.remember(facts.memory))
    }
}

extension DataSetup {
    func attempt(to address: SocketAddress) -> Command {
        attempts[0] == .port
            ? Command(.port, DataAddress.portArgument(address)) : Command(.eprt, DataAddress.eprtArgument(address))
    }
}

extension SessionPolicy {
    /// What the backend is sent for the client's command, first choice first; never empty.
    func backendAttempts(for verb: Command.Verb, _ backend: BackendFacts) -> [Command.Verb] {
        let passive: [Command.Verb] = [.pasv, .epsv]
        let wished: [Command.Verb] =
            switch backendData {
            case .auto: verb == .epsv ? [.epsv, .pasv] : passive
            case .client:
                switch verb {
                case .epsv: [.epsv, .pasv]
                case .port: [.port, .eprt]
                case .eprt: [.eprt, .port]
                default: passive
                }
            case .passive, .pasv: passive
            case .epsv: [.epsv, .pasv]
            case .active, .port: [.port, .eprt]
            case .eprt: [.eprt, .port]
            }
        // PASV and PORT cannot say an IPv6 address.
        if backend.address.ip.unmapped.family == .v6 { return wished.filter { $0 == .epsv || $0 == .eprt } }
        let memory = backend.memory
        let refused: (Command.Verb) -> Bool = {
            switch $0 {
            case .epsv: memory.refusesEPSV
            case .pasv: memory.refusesPASV
            case .eprt: memory.refusesEPRT
            default: memory.refusesPORT
            }
        }
        return wished.filter { !refused($0) } + wished.filter(refused)
    }
}
