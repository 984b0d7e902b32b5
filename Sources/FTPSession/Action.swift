public import FTPProtocol
public import Wire

/// Everything that a session can have done. The driver performs each without a decision of its own, in order.
public enum Action: Equatable, Sendable {
    // The client's control connection.
    case replyToClient(Reply)
    /// Lines of a reply whose end follows.
    case relayToClient([UInt8])
    /// Start TLS as server once all replies before this are out.
    case startTLS
    /// Exchange close_notify and go on in clear (CCC).
    case stopTLS
    /// Queue a fresh TLS session ticket: it goes out in front of the next reply.
    case issueTicket

    // The backend's control connection.
    case connectBackend
    case sendToBackend(Command)
    /// Keep for later sessions.
    case remember(BackendMemory)

    // The data connections.
    /// Reserve a passive port; answered by `clientDataListening` or `noPassivePort`.
    case listenForClient
    /// Connect to the client's data port, when `dialClient` says so.
    case planClient(SocketAddress)
    case dialClient
    case dialBackendData(SocketAddress)
    /// Answered by `backendDataListening`, or `backendDataFailed`.
    case listenForBackend(IPAddress.Family)
    /// Whether the client's data connection is to be TLS from now on.
    case protectData(Bool)
    /// A transfer waits for the client's data connection: its silence counts from now on.
    case awaitClientData
    /// - Parameter announcement: what the backend began with; it may say how much comes.
    case startRelay(Direction, announcement: Reply)
    case endData(DataEnding)

    case setTimer(Timer)
    case cancelTimer(Timer)

    /// For the log and the counters.
    case note(Note)
    /// Says all that is queued, ends TLS in order, and lets go of everything. The last action of every session.
    case close(CloseReason)
}

/// Which way a transfer's bytes go.
public enum Direction: String, Equatable, Sendable {
    /// Backend to client: RETR, LIST, NLST, MLSD.
    case download
    /// Client to backend: STOR, APPE, STOU.
    case upload
}

/// How data connections are put away when no relay ends them.
public enum DataEnding: Equatable, Sendable {
    /// Nothing was promised that is still owed: both ends are reset, no close_notify.
    case abandon
    /// The client's end is reset; the backend's stays for its first reply to ABOR.
    case abort
    /// What `abort` left.
    case abandonBackend
    /// The backend wants no more: the client's bytes are read and dropped for a while, so that it reads the reply.
    case drainClient
}

/// Something worth a line in the log and a counter.
public enum Note: Equatable, Sendable {
    case loggedIn(user: String)
    case loginFailed(user: String)
    /// The control connection goes on in the clear (CCC).
    case controlCleared
    case refused(Refusal, Command)
    case malformedLine(MalformedLine)
    case unexpectedReply(to: Command.Verb, code: Int)
    /// A reply came while nothing was asked.
    case unaskedReply(code: Int)
    case backendNonsense
    /// An upload was cut, yet the backend says that it is complete.
    case backendMayHaveKeptUpload(bytes: Int)
    case transferEnded(TransferRecord)

    /// Why a command was not let through: one word for metrics and for the log's `reason`.
    public enum Refusal: String, Equatable, Sendable, CaseIterable {
        case beforeTLS = "before_tls"
        case beforeLogin = "before_login"
        case notPermitted = "not_permitted"
        case userDenied = "user_denied"
        case otherCertificate = "other_certificate"
        case bounce = "bounce_refused"
        case clearData = "clear_data_refused"
        case clearControl = "clear_control_refused"
        case malformedArgument = "malformed_argument"
        case argumentTooLong = "argument_too_long"
        /// A command that exists, at a moment when it may not come.
        case outOfOrder = "out_of_order"
        case noDataPlan = "no_data_plan"
        case portsExhausted = "ports_exhausted"
        case networkProtocol = "network_protocol"
        case hostUnknown = "host_unknown"
        case unsupported = "unsupported"
        case noCertificate = "no_certificate"
    }
}

/// One transfer, as the log tells it.
public struct TransferRecord: Equatable, Sendable {
    public var command: Command
    public var direction: Direction
    public var outcome: DataOutcome?
    /// The code that the client was answered with; 0 where it was gone.
    public var code: Int
    /// Why it has no outcome, where the backend did not refuse it.
    public var interruption: Interruption?

    public enum Interruption: Equatable, Sendable {
        /// By the client's ABOR.
        case aborted
        case sessionEnded(CloseReason)

        /// One word for metrics and for the log's `reason`.
        public var label: String {
            switch self {
            case .aborted: "aborted"
            case .sessionEnded(let reason): reason.label
            }
        }
    }

    public init(
        command: Command, direction: Direction, outcome: DataOutcome?, code: Int, interruption: Interruption? = nil
    ) {
        self.command = command
        self.direction = direction
        self.outcome = outcome
        self.code = code
        self.interruption = outcome == nil ? interruption : nil
    }
}
