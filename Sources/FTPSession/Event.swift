public import FTPProtocol
public import Wire

/// Everything that can happen to a session. Values: a session's life can be logged, replayed and compared.
public enum Event: Equatable, Sendable {
    // The client's control connection.
    /// The connection was accepted; on an implicit listener TLS starts at once.
    case accepted
    case clientSent(Command)
    case clientSentMalformed(MalformedLine)
    /// The client's certificate binds its login: these are the users that it names. Comes before `clientSecured`.
    case clientCertified(users: [String])
    /// The TLS handshake on the control connection is over.
    case clientSecured
    /// The client is gone, or must go: nothing more can be said to it.
    case clientGone(CloseReason)

    // The backend's control connection.
    case backendConnected(BackendFacts)
    /// No connection to any backend; the text is a reason for the client.
    case backendUnavailable(String)
    /// Nor an answer within `--connect-timeout`.
    case backendConnectTimedOut
    case backendSent(Reply)
    /// Lines of a multi-line reply whose end has not come.
    case backendSentPart(code: Int, bytes: [UInt8])
    /// A line that is no reply.
    case backendSentNonsense
    /// A reply beyond every bound; the connection is useless.
    case backendSentEndlessReply
    case backendClosed

    // The data connections.
    /// A port waits for the client; this is what it is told.
    case clientDataListening(SocketAddress)
    case noPassivePort
    /// A port waits for the backend (backend in active mode).
    case backendDataListening(SocketAddress)
    case backendDataConnected
    case backendDataFailed(DataFailure)
    /// The client has connected and begun its TLS handshake, or has connected where no TLS is due.
    case clientDataBegan
    /// The client's data connection is up, judged and accepted.
    case clientDataReady
    /// The data connections have ended; both are torn down as the outcome asks for.
    case dataEnded(DataOutcome)

    case timerFired(Timer)
    /// The gateway is to stop: go after a moment without a command and without a transfer.
    case drainRequested
}

/// Why a client's line is no command: one word for metrics and for the log's `reason`.
public enum MalformedLine: String, Equatable, Sendable, CaseIterable {
    case illegalCharacter = "illegal_character"
    case tooLong = "line_too_long"
    /// No verb.
    case empty = "empty_line"
}

/// What the driver knows of the backend that it has connected to.
public struct BackendFacts: Equatable, Sendable {
    public var address: SocketAddress
    /// What earlier sessions learnt about it.
    public var memory: BackendMemory
    public init(address: SocketAddress, memory: BackendMemory = BackendMemory()) {
        self.address = address
        self.memory = memory
    }
}

/// What sessions learn about a backend and tell those after them.
public struct BackendMemory: Equatable, Sendable {
    public var refusesEPSV = false
    public var refusesPASV = false
    public var refusesEPRT = false
    public var refusesPORT = false
    public init() {}
}

/// The clocks that the session starts and stops. How long each runs is the driver's business.
public enum Timer: Hashable, Sendable, CaseIterable {
    /// From accept to logged in.
    case login
    /// The TLS handshake on the control connection.
    case handshake
    /// No command and no transfer.
    case idle
    /// The backend's 220 after the TCP connection.
    case greeting
    /// The backend's answer to a command.
    case reply
    /// The backend's data connection, before the client is told that all is ready.
    case dataSettle
    /// The backend's answer to QUIT.
    case quit
    /// The backend's first reply to ABOR before its data connection is reset.
    case abortGrace
    /// A second reply to ABOR after a 2yz.
    case abortWindow
    /// Any reply to ABOR at all.
    case abortReply
    /// The backend's final reply after the data connections failed.
    case afterFailure
    /// The gateway is to stop, and the client may still begin something.
    case drain
}
