public import FTPProtocol
public import Wire

/// What the operator allows one session to do: plain values, made once from the flags and validated there.
///
/// Nothing in here changes while a session runs.
public struct SessionPolicy: Sendable, Equatable {
    /// Whether something must be encrypted, or may be.
    public enum Requirement: String, Sendable, CaseIterable { case required, optional }

    /// How the backend's data connections are made (`--backend-data`).
    public enum BackendData: String, Sendable, CaseIterable {
        /// As the client asked where it was passive; PASV or EPSV where it was active.
        case auto
        /// As the client asked, active mode included.
        case client
        /// The gateway dials the backend, with whichever of PASV and EPSV works.
        case passive
        /// The backend dials the gateway, with whichever of PORT and EPRT works.
        case active
        case pasv, epsv, port, eprt
    }

    /// Which address the gateway dials after the backend's 227 (`--backend-pasv-address`).
    public enum BackendPASVAddress: Sendable, Equatable {
        /// The address of the backend's control connection, whatever the 227 says.
        case control
        /// The address in the 227.
        case any
        /// The address in the 227 where it lies in one of these networks, else the control connection's.
        case networks([CIDRBlock])
    }

    /// When an upload's command goes to the backend (`--verify-before-store`, DESIGN 3.11.8).
    public enum VerifyBeforeStore: String, Sendable, CaseIterable { case auto, always, off }

    /// How an upload without close_notify is judged (`--upload-eof`).
    public enum UploadEOF: Sendable, Equatable {
        /// Incomplete, always.
        case strict
        /// A FIN at a record boundary counts as the end for clients in these networks; an empty list means all clients.
        case lenient([CIDRBlock])
    }

    /// What may be done with files (`--access`).
    public enum Access: String, Sendable, CaseIterable {
        case full
        case readOnly = "read-only"
        case uploadOnly = "upload-only"
        case listOnly = "list-only"
    }

    /// A command that `--deny-command` or `--allow-command` names: a verb, and a pattern for its argument (`*` and `?`).
    public struct CommandPattern: Sendable, Equatable {
        public var verb: Command.Verb
        public var argument: String?
        public init(verb: Command.Verb, argument: String? = nil) {
            self.verb = verb
            self.argument = argument
        }
    }

    /// What peers may send at most, in bytes unless it says otherwise. Beyond it there is one clear refusal.
    public struct Limits: Sendable, Equatable {
        /// A command, without its line's end.
        public var commandLine = 8192
        /// A command before TLS, where only short ones have a meaning.
        public var commandLineBeforeTLS: Int { min(512, commandLine) }
        public var user = 256
        /// Of PASS and ACCT.
        public var password = 1024
        /// The argument of any other command; 0: as long as the line may be.
        public var path = 0
        /// The backend's replies.
        public var reply = ReplyParser.Limits()
        public init() {}
    }

    /// The level of protection of data connections before the client has said PROT (RFC 4217 section 9).
    public enum DataProtection: String, Sendable, CaseIterable {
        case clear = "C"
        case `private` = "P"
    }

    public var controlTLS = Requirement.required
    public var dataTLS = Requirement.required
    /// Behind AUTH TLS.
    public var protDefaultExplicit = DataProtection.clear
    /// Behind AUTH SSL, which some servers take for AUTH TLS.
    public var authSSLProt = DataProtection.private
    /// On implicit listeners.
    public var implicitDefaultProt = DataProtection.private
    /// Take PROT without PBSZ before it.
    public var pbszOptional = false
    public var limits = Limits()
    public var backendData = BackendData.auto
    public var backendPASVAddress = BackendPASVAddress.control
    public var verifyBeforeStore = VerifyBeforeStore.auto
    public var uploadEOF = UploadEOF.strict
    public var access = Access.full
    public var deniedCommands: [CommandPattern] = []
    /// When not empty, only these (and what a session cannot do without) are let through.
    public var allowedCommands: [CommandPattern] = []
    /// Patterns (`*` and `?`); empty means everyone.
    public var allowedUsers: [String] = []
    public var deniedUsers: [String] = []
    /// Names in the gateway's certificates: what HOST may ask for before TLS (RFC 7151).
    public var hostNames: [String] = []
    /// Text of the gateway's own 220.
    public var greeting = "FTPS gateway ready."
    /// Replaces the backend's address and banner texts where they would reach the client.
    public var hideBackend = false
    public var allowCCC = false
    /// Passwords for the backend of users that their certificates log in (`--client-cert-login`).
    public var certificateLogins: [String: Secret] = [:]
    /// Refusals of PASS before the session is closed; 0 means no limit.
    public var maxLoginAttempts = 5

    public init() {}
}

/// One policy that many sessions refer to.
public final class SharedPolicy: Sendable {
    public let value: SessionPolicy
    public init(_ value: SessionPolicy) { self.value = value }
}
