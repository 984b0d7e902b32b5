import FTPProtocol

/// Why a session ended, by who is responsible for it.
public enum CloseReason: Equatable, Sendable {
    // The client.
    case clientQuit
    case clientClosed
    case clientReset(errno: Int32)
    /// Bytes came in clear behind AUTH, before TLS: whoever put them there wants them executed as if they were protected.
    case pipelinedBeforeTLS
    /// HTTP, SSH or SMTP instead of FTP.
    case notFTP
    case tlsOnExplicitPort
    case tlsFailed(String)
    /// The client's certificate was not taken, or none was shown.
    case certificateRejected(String)
    case tooManyBadLines
    case tooManyLoginFailures

    // The clocks.
    case handshakeTimeout
    case loginTimeout
    case idleTimeout
    case backendConnectTimeout
    case backendGreetingTimeout
    case backendReplyTimeout

    // The surroundings.
    case backendUnavailable(String)
    case backendRefused(String)
    case backendClosed
    /// It said 421, with this text.
    case backendSaidGoodbye(String)
    case backendEndlessReply
    case backendNonsense
    /// Reply after reply came while nothing was asked.
    case backendUnasked

    // The gateway.
    case shutdown

    /// One word for metrics and for the log's `reason`.
    public var label: String {
        switch self {
        case .clientQuit: "client_quit"
        case .clientClosed: "client_closed"
        case .clientReset: "client_reset"
        case .pipelinedBeforeTLS: "pipelined_before_tls"
        case .notFTP: "not_ftp"
        case .tlsOnExplicitPort: "tls_on_explicit_port"
        case .tlsFailed: "tls_failed"
        case .certificateRejected: "certificate_rejected"
        case .tooManyBadLines: "too_many_bad_lines"
        case .tooManyLoginFailures: "too_many_login_failures"
        case .handshakeTimeout: "handshake_timeout"
        case .loginTimeout: "login_timeout"
        case .idleTimeout: "idle_timeout"
        case .backendConnectTimeout: "backend_connect_timeout"
        case .backendGreetingTimeout: "backend_greeting_timeout"
        case .backendReplyTimeout: "backend_reply_timeout"
        case .backendUnavailable: "backend_unavailable"
        case .backendRefused: "backend_refused"
        case .backendClosed: "backend_closed"
        case .backendSaidGoodbye: "backend_421"
        case .backendEndlessReply: "backend_endless_reply"
        case .backendNonsense: "backend_nonsense"
        case .backendUnasked: "backend_unasked_replies"
        case .shutdown: "shutdown"
        }
    }

    /// What the client is told, where it can still be told anything.
    var farewell: Reply? {
        switch self {
        case .clientQuit, .clientClosed, .clientReset, .pipelinedBeforeTLS, .notFTP, .tlsOnExplicitPort, .tlsFailed,
            .certificateRejected,
            .handshakeTimeout, .backendSaidGoodbye:
            nil
        case .tooManyBadLines: .tooManyBadLines
        case .tooManyLoginFailures: .tooManyLoginFailures
        case .loginTimeout: .loginTimeout
        case .idleTimeout: .idleTimeout
        case .backendConnectTimeout: .backendUnavailable("no answer in time")
        case .backendGreetingTimeout: .backendDidNotGreet
        case .backendReplyTimeout: .backendSilent
        case .backendUnavailable(let problem): .backendUnavailable(problem)
        case .backendRefused(let text): .backendRefused(text)
        case .backendClosed: .backendClosed
        case .backendEndlessReply: .endless
        case .backendNonsense: .nonsense
        case .backendUnasked: .unasked
        case .shutdown: .shuttingDown
        }
    }

    /// More for the log, where there is more to say.
    public var detail: String? {
        switch self {
        case .tlsFailed(let text), .certificateRejected(let text), .backendUnavailable(let text), .backendRefused(let text),
            .backendSaidGoodbye(let text):
            text
        case .clientReset(let errno): "errno \(errno)"
        default: nil
        }
    }

    /// Whether someone should look at it: the surroundings failed, not the client.
    public var isWarning: Bool {
        switch self {
        case .backendConnectTimeout, .backendGreetingTimeout, .backendReplyTimeout, .backendUnavailable, .backendRefused,
            .backendClosed, .backendSaidGoodbye, .backendEndlessReply, .backendNonsense, .backendUnasked:
            true
        default: false
        }
    }
}
