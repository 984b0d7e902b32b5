import FTPSession
import NetIO
import Wire

/// The backend's end of one data connection: dialled as soon as its address is known, since some backends wait two seconds
/// only, or waited for.
final class BackendDataEnd {
    enum State {
        case unused
        case dialling(any ConnectAttempt)
        /// Before the second attempt.
        case pausing
        case listening(any Acceptor)
        case ready(Stream)
        case failed(DataFailure)
        case gone
    }

    private(set) var state = State.unused
    private let surroundings: Surroundings
    /// The backend's control connection: data comes from there and goes there.
    private let control: any Transport
    private var pause: (any NetIO.Timer)?

    /// The client's reply waits 200 ms for the backend at most (`Timer.dataSettle`).
    private static let secondAttempt: Duration = .milliseconds(100)

    var onListening: ((SocketAddress) -> Void)?
    var onReady: (() -> Void)?
    var onFailure: ((DataFailure) -> Void)?

    init(_ surroundings: Surroundings, control: any Transport) {
        self.surroundings = surroundings
        self.control = control
    }

    var stream: Stream? { if case .ready(let stream) = state { stream } else { nil } }

    func dial(_ address: SocketAddress) { dial(address, triesAgain: true) }

    /// - Parameter triesAgain: after a refusal, once. A backend under load may say which port before it listens on it.
    private func dial(_ address: SocketAddress, triesAgain: Bool) {
        let attempt = surroundings.network.connect(
            to: address, from: surroundings.backend.sourceAddress(for: address.ip),
            within: surroundings.configuration.timeouts.connect
        ) { [weak self] result in
            guard let self else { return }
            switch result {
            case .connected(let transport): connected(transport)
            case .failed(SystemError.connectionRefused):
                guard triesAgain else { return fail(.backendRefused) }
                state = .pausing
                pause = surroundings.scheduler.makeTimer { [unowned self] in dial(address, triesAgain: false) }
                pause?.start(after: Self.secondAttempt)
            case .failed(let code): fail(.backendUnreachable(SystemError.text(code)))
            case .timedOut: fail(.backendTimeout)
            }
        }
        state = .dialling(attempt)
    }

    /// Opens a port on the address that the backend knows us by.
    func listen(_ family: IPAddress.Family) {
        let local = control.localAddress.ip
        let address = SocketAddress(
            ip: local.family == family ? local : local.unmapped, port: 0, scope: control.localAddress.scope)
        do throws(SystemError) {
            let acceptor = try surroundings.network.listen(on: address) { [weak self] transport in
                guard let self, case .listening(let acceptor) = state,
                    transport.peerAddress.ip.unmapped == control.peerAddress.ip.unmapped
                else { return transport.reset() }
                acceptor.close()
                connected(transport)
            }
            state = .listening(acceptor)
            onListening?(acceptor.address)
        } catch {
            fail(.backendUnreachable("\(error)"))
        }
    }

    private func connected(_ transport: any Transport) {
        state = .ready(Stream(transport, staging: surroundings.staging))
        onReady?()
    }

    private func fail(_ failure: DataFailure) {
        state = .failed(failure)
        onFailure?(failure)
    }

    /// Nobody has come for as long as `--data-timeout` allows.
    var absence: DataFailure? {
        switch state {
        case .dialling, .pausing, .listening: .backendTimeout
        case .failed(let failure): failure
        default: nil
        }
    }

    /// Lets go of the stream, which now is somebody else's.
    func handOver() { state = .gone }

    /// Ends a connection that nothing has gone through, with RST as well, but not before the backend has noticed it.
    func resetWhenAccepted() {
        guard case .ready(let stream) = state else { return reset() }
        state = .gone
        surroundings.resetWhenAccepted(stream)
    }

    /// Ends what there is, at once and with RST: the backend must not take what it has for the whole.
    func reset() {
        switch state {
        case .dialling(let attempt): attempt.cancel()
        case .pausing: pause?.cancel()
        case .listening(let acceptor): acceptor.close()
        case .ready(let stream): stream.transport.reset()
        default: break
        }
        state = .gone
    }
}
