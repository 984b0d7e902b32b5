import Synchronization
import Telemetry
import Wire

/// Who may connect, how many at a time, and to which worker they go. One for all threads: whoever's session ends says so here,
/// and wakes nobody.
final class Admission: Sendable {
    enum Refusal: String, Error {
        case network = "network_not_allowed"
        case tooManySessions = "too_many_sessions"
        case tooManyFromAddress = "too_many_sessions_of_address"
        /// None is left: the gateway is about to end.
        case noWorker = "no_worker"

        /// What the client is told on a connection that begins in the clear; strangers' networks are told nothing.
        var farewell: String? {
            switch self {
            case .network, .noWorker: nil
            case .tooManySessions: "421 Too many sessions; try again later.\r\n"
            case .tooManyFromAddress: "421 Too many sessions from your address; close one first.\r\n"
            }
        }
    }

    private struct Rules {
        let allowed: [CIDRBlock]
        let denied: [CIDRBlock]
        let maxSessions: Int
        let maxSessionsPerAddress: Int

        init(_ configuration: GatewayConfiguration) {
            allowed = configuration.allowFrom
            denied = configuration.denyFrom
            maxSessions = configuration.maxSessions
            maxSessionsPerAddress = configuration.maxSessionsPerAddress
        }
    }

    private struct State {
        var rules: Rules
        var sessions = 0
        var sessionsOfAddress: [IPAddress: Int] = [:]
        /// Nil for a worker that has ended.
        var sessionsOfWorker: [Int?]
    }

    private let state: Mutex<State>
    private let metrics: Metrics

    init(_ configuration: GatewayConfiguration, workers: Int, metrics: Metrics) {
        state = Mutex(State(rules: Rules(configuration), sessionsOfWorker: Array(repeating: 0, count: workers)))
        self.metrics = metrics
        metrics.set(.sessions, to: 0)
    }

    var sessions: Int { state.withLock { $0.sessions } }

    /// Takes up other rules; who is here stays.
    func use(_ configuration: GatewayConfiguration) { state.withLock { $0.rules = Rules(configuration) } }

    /// Counts the client in, unless there is a reason not to.
    /// - Returns: the worker that it goes to: the one with the fewest sessions, of several the first. FTP sessions are long: their
    ///   number says more of a worker's load than a hash over addresses.
    func admit(_ client: IPAddress) throws(Refusal) -> Int {
        try state.withLock { (state) throws(Refusal) in
            let rules = state.rules
            if rules.denied.contains(where: { $0.contains(client) }) { throw .network }
            if !rules.allowed.isEmpty, !rules.allowed.contains(where: { $0.contains(client) }) { throw .network }
            if rules.maxSessions > 0, state.sessions >= rules.maxSessions { throw .tooManySessions }
            let own = state.sessionsOfAddress[client, default: 0]
            if rules.maxSessionsPerAddress > 0, own >= rules.maxSessionsPerAddress { throw .tooManyFromAddress }
            var choice: (worker: Int, sessions: Int)?
            for (worker, sessions) in state.sessionsOfWorker.enumerated() {
                if let sessions, sessions < choice?.sessions ?? .max { choice = (worker, sessions) }
            }
            guard let choice else { throw .noWorker }
            state.sessionsOfWorker[choice.worker] = choice.sessions + 1
            state.sessionsOfAddress[client] = own + 1
            count(1, &state)
            return choice.worker
        }
    }

    /// A session has ended.
    func left(_ client: IPAddress, worker: Int) {
        state.withLock { state in
            if let sessions = state.sessionsOfWorker[worker] { state.sessionsOfWorker[worker] = sessions - 1 }
            if let own = state.sessionsOfAddress[client] { state.sessionsOfAddress[client] = own > 1 ? own - 1 : nil }
            count(-1, &state)
        }
    }

    /// Nobody is sent there any more.
    func ended(worker: Int) { state.withLock { $0.sessionsOfWorker[worker] = nil } }

    private func count(_ change: Int, _ state: inout State) {
        state.sessions += change
        metrics.set(.sessions, to: state.sessions)
    }
}
