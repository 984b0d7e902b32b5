import FTPProtocol
public import Wire

/// One client's session: every decision about it, and nothing else. Start reading here.
///
/// An event goes in, actions come out; the driver (`Gateway.ClientConnection`) turns I/O into events and performs the actions.
/// There is no clock, no socket and no payload in here. One command of the client is in flight at a time: the next line waits
/// in a bounded queue until its turn, so no reply is ever attributed to the wrong command. Two small machines touch here: this
/// one, and within `transferring` the pair of final reply and end of data.
public struct Session: ~Copyable {
    /// What the session is doing for the command in flight. Large payloads are apart: a session is idle most of the time.
    enum State: Equatable {
        /// Not yet accepted.
        case initial
        /// The TLS handshake on the control connection is running.
        case securing
        /// No command is in flight.
        case idle
        /// This command waits until the backend is connected and has greeted.
        case awaitingBackend(Command)
        /// One command has been relayed, and the backend has not yet answered.
        case awaitingReply(to: Command)
        /// PASV, EPSV, PORT or EPRT: both sides of the data connection are being made.
        indirect case preparingData(DataSetup)
        /// An upload's command waits until the client's data connection is up and judged.
        case verifying(Command)
        /// A transfer command has been sent to the backend.
        indirect case transferring(Transfer)
        /// ABOR has been sent: one or two replies follow.
        indirect case aborting(Aborting)
        /// The client has been answered; the backend's reply to the failed transfer is read and dropped.
        case discarding
        /// A client's USER is being answered by its certificate.
        indirect case loggingIn(user: Command, CertificateLogin)
        /// A NOOP of ours is out, to find where the backend's replies stand.
        case resynchronising
        /// The client's QUIT has been relayed.
        case quitting
        case closed
    }

    /// What protects the control connection.
    enum Security: Equatable {
        case clear
        case encrypted
        /// It was encrypted, and CCC took it off.
        case cleared
    }

    enum Backend: Equatable {
        case absent
        case connecting
        /// The TCP connection is up, its greeting is awaited.
        case greeting(BackendFacts)
        case ready(BackendFacts)
        case failed(CloseReason)
    }

    enum Login: Equatable {
        case none
        /// USER has been sent. Whoever was logged in before still is where the backend refuses the new name.
        case named(String, before: String?)
        case done(user: String)
    }

    enum LateReply: Equatable {
        case none
        /// The ABOR was the client's, who sees what becomes of it.
        case passes
        /// The ABOR was ours.
        case isDropped
    }

    /// A line of the client that is to be answered in its turn.
    enum Line: Equatable {
        case command(Command)
        case malformed(MalformedLine)
    }

    /// What the driver knows when it accepts a connection.
    public struct Facts: Sendable, Equatable {
        public var client: SocketAddress
        public var isImplicit: Bool
        /// What a 227 names; nil where the client came over IPv6 and no IPv4 address is known.
        public var passiveAddress: IPAddress?
        /// Ports that the gateway itself listens on: never the target of an active data connection.
        public var ownPorts: Set<UInt16>
        /// Whether any certificate fits the versions and ciphers of TLS that the operator chose.
        public var canSecure: Bool
        public init(
            client: SocketAddress, isImplicit: Bool, passiveAddress: IPAddress?, ownPorts: Set<UInt16> = [],
            canSecure: Bool = true
        ) {
            self.client = client
            self.isImplicit = isImplicit
            self.passiveAddress = passiveAddress
            self.ownPorts = ownPorts
            self.canSecure = canSecure
        }
    }

    private let sharedPolicy: SharedPolicy
    let facts: Facts

    var state = State.initial
    var security = Security.clear
    var backend = Backend.absent
    var login = Login.none
    /// The only users that the client's certificate lets it be; nil where certificates do not bind.
    var certifiedUsers: [String]?
    /// PBSZ has been accepted, or need not be.
    var hasProtectionBuffer = false
    var isDataPrivate = false
    var epsvOnly = false
    var plan: DataPlan?
    var loginFailures = 0
    var longLines = 0
    var malformedLines = 0
    /// Lines before TLS and login that are no FTP.
    var foreignLines = 0
    var nonsenseReplies = 0
    var unaskedReplies = 0
    /// STAT commands in a transfer that the backend has yet to answer.
    var statsPending = 0
    /// Lines of the backend's unfinished reply, where a rule needs the whole.
    var collected: [UInt8] = []
    /// A 225 or 226 may still come for an ABOR that is over: it is nobody's answer.
    var lateAbortReply = LateReply.none
    var isDraining = false
    var queue: [Line] = []
    var actions: [Action] = []

    /// Lines that may wait behind the one in flight; beyond it the driver stops reading.
    static let queueLimit = 16
    static let queueByteLimit = 4096
    /// STAT commands that may be at the backend during a transfer; more wait like other commands.
    static let statLimit = 4

    public init(policy: SharedPolicy, facts: Facts) {
        sharedPolicy = policy
        self.facts = facts
    }

    var policy: SessionPolicy { sharedPolicy.value }
    public var limits: SessionPolicy.Limits { sharedPolicy.value.limits }

    /// Takes one event and says what is to be done, in order.
    public mutating func handle(_ event: Event) -> [Action] {
        if isClosed { return [] }
        process(event)
        takeFromQueue()
        if isIdle, case .failed(.backendClosed) = backend { end(.backendClosed) }
        // A command that was answered here keeps the session awake like any other.
        if case .clientSent = event, isIdle, !actions.contains(.setTimer(.idle)) { actions.append(.setTimer(.idle)) }
        // Between two commands a session is idle as well: it goes when it has been so for a moment, not between PASV and RETR.
        if isDraining, isIdle, event == .drainRequested || actions.contains(.setTimer(.idle)) {
            actions.append(.setTimer(.drain))
        }
        defer { actions = [] }
        return actions
    }

    /// Whether the driver is to hand in more of the client's lines.
    public var takesCommands: Bool {
        switch state {
        case .closed, .securing, .quitting: return false
        default: break
        }
        if queue.isEmpty { return true }
        return queue.count < Self.queueLimit && queue.reduce(0) { $0 + $1.byteCount } < Self.queueByteLimit
    }

    // By pattern, here and below: a comparison copies what the cases carry, and these are asked at every step.
    public var isClosed: Bool { if case .closed = state { true } else { false } }
    private var isIdle: Bool { if case .idle = state { true } else { false } }
    public var isSecured: Bool { security != .clear }
    /// Whether CCC has ended TLS on the control connection.
    public var isCleared: Bool { security == .cleared }
    /// What a 227 names; nil where there is no such address.
    public var passiveAddress: IPAddress? { facts.passiveAddress }
    /// Whether a transfer is under way: the idle clock stands still.
    public var isTransferring: Bool {
        switch state {
        case .transferring, .verifying, .aborting, .discarding: true
        default: false
        }
    }
    /// Whether data connections are planned, or a command is in flight that may have to do with them.
    public var needsData: Bool { plan != nil || state != .idle }
    public var user: String? {
        if case .done(let user) = login { user } else { nil }
    }

    private mutating func process(_ event: Event) {
        switch event {
        case .accepted, .clientSecured: securing(event)
        case .clientCertified(let users): certifiedUsers = users
        case .clientSent(let command): received(.command(command))
        case .clientSentMalformed(let malformed): received(.malformed(malformed))
        case .clientGone(let reason): end(reason)

        case .backendConnected, .backendUnavailable, .backendConnectTimedOut: if backend == .connecting { dialled(event) }
        case .backendSent, .backendSentPart, .backendSentNonsense, .backendSentEndlessReply, .backendClosed:
            if isBackendConnected { heard(event) }

        case .clientDataListening, .noPassivePort, .backendDataListening, .backendDataConnected:
            if case .preparingData(let setup) = state { preparing(setup, event) }
        case .backendDataFailed(let failure): backendDataFailed(failure, event)
        case .clientDataBegan: clientDataBegan()
        case .clientDataReady: clientDataReady()
        case .dataEnded(let outcome): dataEnded(outcome)

        case .timerFired(let timer): fired(timer)
        case .drainRequested: isDraining = true
        }
    }

    private mutating func dialled(_ event: Event) {
        switch event {
        case .backendConnected(let facts):
            backend = .greeting(facts)
            actions.append(.setTimer(.greeting))
        case .backendUnavailable(let problem): backendFailed(.backendUnavailable(problem))
        default: backendFailed(.backendConnectTimeout)
        }
    }

    private mutating func heard(_ event: Event) {
        switch event {
        case .backendSent(let reply): received(reply)
        case .backendSentPart(let code, let bytes): receivedPart(code, bytes)
        case .backendSentNonsense: receivedNonsense()
        case .backendSentEndlessReply: end(.backendEndlessReply)
        default: backendClosed()
        }
    }

    // MARK: - What every topic uses

    mutating func reply(_ reply: Reply) { actions.append(.replyToClient(reply)) }

    /// Nothing is in flight any more.
    mutating func becomeIdle() {
        state = .idle
        actions.append(.setTimer(.idle))
    }

    mutating func refuse(_ command: Command, _ refusal: Note.Refusal, _ reply: Reply) {
        actions.append(.note(.refused(refusal, command)))
        self.reply(reply)
    }

    mutating func send(_ command: Command) {
        actions.append(.sendToBackend(command))
        actions.append(.setTimer(.reply))
    }

    private var isBackendConnected: Bool {
        switch backend {
        case .greeting, .ready: true
        default: false
        }
    }

    /// What is known of the backend, once it has greeted.
    var readyBackend: BackendFacts? {
        if case .ready(let facts) = backend { facts } else { nil }
    }
}

extension Session.Line {
    /// Of a line that was no command nothing is kept.
    fileprivate var byteCount: Int {
        switch self {
        case .command(let command): command.line.count
        case .malformed: 1
        }
    }
}
