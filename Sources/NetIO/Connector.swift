import Glibc
import Wire

/// One attempt to connect, with a deadline. Keeps itself alive until it has called back or was cancelled.
final class Connector: ConnectAttempt {
    private var socket: Socket?
    private let loop: EventLoop
    private var watcher: Watcher?
    private var deadline: LoopTimer?
    private var completion: ((ConnectResult) -> Void)?
    private var keepAlive: Connector?

    init(
        to address: SocketAddress, from source: SocketAddress?, within limit: Duration, loop: EventLoop,
        _ completion: @escaping (ConnectResult) -> Void
    ) {
        self.loop = loop
        self.completion = completion
        keepAlive = self
        do throws(SystemError) {
            try start(to: address, from: source)
        } catch {
            let code = error.code
            // The caller does not have us yet: call back when it has.
            loop.later { self.finish(.failed(errno: code)) }
            return
        }
        guard limit > .zero, watcher != nil else { return }
        let timer = LoopTimer(loop: loop) { [unowned self] in finish(.timedOut) }
        timer.start(after: limit)
        deadline = timer
    }

    func cancel() {
        completion = nil
        tearDown()
    }

    private func start(to address: SocketAddress, from source: SocketAddress?) throws(SystemError) {
        let socket = try Socket.tcp(address.ip.family)
        let descriptor = socket.descriptor
        if let source {
            socket.setOption(SOL_SOCKET, SO_REUSEADDR, 1)
            // With port 0 the kernel chooses the port at connect time, when it knows which are free towards that peer.
            if source.port == 0 { socket.setOption(Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, 1) }
            guard source.withSockaddr({ bind(descriptor, $0, $1) }) == 0 else { throw SystemError("bind") }
        }
        if case .failed = Self.call(descriptor, address) { throw SystemError("connect") }
        self.socket = consume socket
        // Whoever is on this machine has answered within the call; asked again, the kernel says what it came to.
        let outcome = Self.call(descriptor, address)
        guard outcome == .pending else {
            // The caller does not have us yet: call back when it has.
            loop.later { self.connected(to: address, outcome) }
            return
        }
        // The edge that shows the connection; the transport goes on with the same event.
        watcher = Watcher(descriptor: descriptor, loop: loop, trigger: .edge, [.read, .write]) { [unowned self] _ in
            connected(to: address, Self.call(descriptor, address))
        }
    }

    private enum Outcome: Equatable {
        case pending
        case connected
        case failed(errno: Int32)
    }

    private static func call(_ descriptor: Int32, _ address: SocketAddress) -> Outcome {
        guard address.withSockaddr({ Glibc.connect(descriptor, $0, $1) }) != 0 else { return .connected }
        return switch errno {
        case EINPROGRESS, EALREADY, EINTR: .pending
        case EISCONN: .connected
        case let code: .failed(errno: code)
        }
    }

    private func connected(to address: SocketAddress, _ outcome: Outcome) {
        if outcome == .pending { return }
        guard let socket = self.socket.take() else { return }
        if case .failed(let code) = outcome {
            watcher?.pause()
            return finish(.failed(errno: code))
        }
        let peer = SocketAddress(ip: address.ip.unmapped, port: address.port, scope: address.scope)
        let transport = SocketTransport(socket, peer: peer, loop: loop, watcher: watcher, isConfigured: false)
        watcher = nil
        finish(.connected(transport))
    }

    private func finish(_ result: ConnectResult) {
        let completion = self.completion
        self.completion = nil
        withExtendedLifetime(self) {
            tearDown()
            completion?(result)
        }
    }

    private func tearDown() {
        watcher?.pause()
        watcher = nil
        deadline?.cancel()
        socket = nil
        // Freed in a later turn: one of our own callbacks may be running.
        if keepAlive != nil {
            keepAlive = nil
            loop.later { _ = self }
        }
    }
}
