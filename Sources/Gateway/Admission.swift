import Wire

/// Who may connect, and how many at a time.
struct Admission {
    enum Refusal: String {
        case network = "network_not_allowed"
        case tooManySessions = "too_many_sessions"
        case tooManyFromAddress = "too_many_sessions_of_address"

        /// What the client is told on a connection that begins in the clear; strangers' networks are told nothing.
        var farewell: String? {
            switch self {
            case .network: nil
            case .tooManySessions: "421 Too many sessions; try again later.\r\n"
            case .tooManyFromAddress: "421 Too many sessions from your address; close one first.\r\n"
            }
        }
    }

    private let allowed: [CIDRBlock]
    private let denied: [CIDRBlock]
    private let maxSessions: Int
    private let maxSessionsPerAddress: Int
    private(set) var sessions = 0
    private var sessionsOfAddress: [IPAddress: Int] = [:]

    init(_ configuration: GatewayConfiguration) {
        allowed = configuration.allowFrom
        denied = configuration.denyFrom
        maxSessions = configuration.maxSessions
        maxSessionsPerAddress = configuration.maxSessionsPerAddress
    }

    /// Takes up other rules; who is here stays.
    mutating func use(_ configuration: GatewayConfiguration) {
        let (sessions, sessionsOfAddress) = (sessions, sessionsOfAddress)
        self = Admission(configuration)
        self.sessions = sessions
        self.sessionsOfAddress = sessionsOfAddress
    }

    /// Counts the client in, unless there is a reason not to.
    mutating func admit(_ client: IPAddress) -> Refusal? {
        if denied.contains(where: { $0.contains(client) }) { return .network }
        if !allowed.isEmpty, !allowed.contains(where: { $0.contains(client) }) { return .network }
        if maxSessions > 0, sessions >= maxSessions { return .tooManySessions }
        if maxSessionsPerAddress > 0, sessionsOfAddress[client, default: 0] >= maxSessionsPerAddress {
            return .tooManyFromAddress
        }
        sessions += 1
        sessionsOfAddress[client, default: 0] += 1
        return nil
    }

    mutating func left(_ client: IPAddress) {
        sessions -= 1
        guard let count = sessionsOfAddress[client] else { return }
        sessionsOfAddress[client] = count > 1 ? count - 1 : nil
    }
}
