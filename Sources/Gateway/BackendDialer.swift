import FTPSession
import NetIO
import Wire

/// Connects to the backend: its name is resolved for each session, its addresses are tried in turn, and after the last one
/// those of the next backend.
final class BackendDialer {
    private var backends: [GatewayConfiguration.Backend]
    private var source: IPAddress?
    private var limit: Duration
    private let network: any Network
    /// What sessions have learnt about each backend.
    private var memories: [SocketAddress: BackendMemory] = [:]

    init(_ configuration: GatewayConfiguration, network: any Network) {
        backends = configuration.backends
        source = configuration.backendSource
        limit = configuration.timeouts.connect
        self.network = network
    }

    func use(_ configuration: GatewayConfiguration) {
        backends = configuration.backends
        source = configuration.backendSource
        limit = configuration.timeouts.connect
    }

    func memory(of backend: SocketAddress) -> BackendMemory { memories[backend] ?? BackendMemory() }

    func remember(_ memory: BackendMemory, of backend: SocketAddress) { memories[backend] = memory }

    /// A running attempt; cancelled when it goes.
    final class Attempt {
        fileprivate var connecting: (any ConnectAttempt)?
        fileprivate var isCancelled = false

        deinit { connecting?.cancel() }

        func cancel() {
            isCancelled = true
            connecting?.cancel()
            connecting = nil
        }
    }

    /// Why there is no connection: what a stranger may know, and what the operator wants to know.
    struct Problem: Error {
        let reason: String
        let target: String
        var isTimeout = false
    }

    typealias Completion = (Result<any Transport, Problem>) -> Void

    /// - Parameter completion: not called after a cancel; the problem is that of the last backend tried.
    func dial(_ completion: @escaping Completion) -> Attempt {
        let attempt = Attempt()
        dial(backends[...], attempt, completion)
        return attempt
    }

    private func dial(
        _ backends: ArraySlice<GatewayConfiguration.Backend>, _ attempt: Attempt, _ completion: @escaping Completion
    ) {
        let backend = backends[backends.startIndex]
        let failed = { [self, weak attempt] (problem: Problem) in
            let rest = backends.dropFirst()
            guard let attempt, !rest.isEmpty else { return completion(.failure(problem)) }
            dial(rest, attempt, completion)
        }
        network.resolve(backend.host) { [self, weak attempt] addresses, problem in
            guard let attempt, !attempt.isCancelled else { return }
            if addresses.isEmpty {
                let reason = "its name cannot be resolved (\(problem ?? "no address"))"
                return failed(Problem(reason: reason, target: backend.host))
            }
            dial(addresses[...], backend.port, attempt, failed) { completion(.success($0)) }
        }
    }

    private func dial(
        _ addresses: ArraySlice<IPAddress>, _ port: UInt16, _ attempt: Attempt, _ onFailure: @escaping (Problem) -> Void,
        _ onConnected: @escaping (any Transport) -> Void
    ) {
        let address = SocketAddress(ip: addresses[addresses.startIndex], port: port)
        attempt.connecting = network.connect(to: address, from: sourceAddress(for: address.ip), within: limit) {
            [self, weak attempt] result in
            guard let attempt, !attempt.isCancelled else { return }
            let reason: String
            switch result {
            case .connected(let transport): return onConnected(transport)
            case .failed(let code): reason = SystemError.text(code)
            case .timedOut: reason = "no answer in time"
            }
            let rest = addresses.dropFirst()
            guard rest.isEmpty else { return dial(rest, port, attempt, onFailure, onConnected) }
            var problem = Problem(reason: reason, target: "\(address)")
            if case .timedOut = result { problem.isTimeout = true }
            onFailure(problem)
        }
    }

    /// Connections to the backend come from `--backend-source` where it has that family.
    func sourceAddress(for destination: IPAddress) -> SocketAddress? {
        guard let source, source.family == destination.family else { return nil }
        return SocketAddress(ip: source, port: 0)
    }
}
