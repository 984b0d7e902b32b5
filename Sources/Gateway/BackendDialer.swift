import FTPSession
import NetIO
import Wire

/// Connects to the backend: its name is resolved for each session, and its addresses are tried in turn.
final class BackendDialer {
    private let backend: GatewayConfiguration.Backend
    private let source: IPAddress?
    private let limit: Duration
    private let network: any Network
    /// What sessions have learnt about the backend.
    var memory = BackendMemory()

    init(_ configuration: GatewayConfiguration, network: any Network) {
        backend = configuration.backends[0]
        source = configuration.backendSource
        limit = configuration.timeouts.connect
        self.network = network
    }

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
    }

    typealias Completion = (Result<any Transport, Problem>) -> Void

    /// - Parameter completion: not called after a cancel.
    func dial(_ completion: @escaping Completion) -> Attempt {
        let attempt = Attempt()
        network.resolve(backend.host) { [self, weak attempt] addresses, problem in
            guard let attempt, !attempt.isCancelled else { return }
            if addresses.isEmpty {
                let reason = "its name cannot be resolved (\(problem ?? "no address"))"
                return completion(.failure(Problem(reason: reason, target: backend.host)))
            }
            dial(addresses[...], attempt, completion)
        }
        return attempt
    }

    private func dial(_ addresses: ArraySlice<IPAddress>, _ attempt: Attempt, _ completion: @escaping Completion) {
        let address = SocketAddress(ip: addresses[addresses.startIndex], port: backend.port)
        attempt.connecting = network.connect(to: address, from: sourceAddress(for: address.ip), within: limit) {
            [self, weak attempt] result in
            guard let attempt, !attempt.isCancelled else { return }
            let reason: String
            switch result {
            case .connected(let transport): return completion(.success(transport))
            case .failed(let code): reason = SystemError.text(code)
            case .timedOut: reason = "no answer in time"
            }
            let rest = addresses.dropFirst()
            guard rest.isEmpty else { return dial(rest, attempt, completion) }
            completion(.failure(Problem(reason: reason, target: "\(address)")))
        }
    }

    /// Connections to the backend come from `--backend-source` where it has that family.
    func sourceAddress(for destination: IPAddress) -> SocketAddress? {
        guard let source, source.family == destination.family else { return nil }
        return SocketAddress(ip: source, port: 0)
    }
}
