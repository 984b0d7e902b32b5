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
        guard limit > .zero else { return }
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
        let result = address.withSockaddr { Glibc.connect(descriptor, $0, $1) }
        guard result == 0 || errno == EINPROGRESS else { throw SystemError("connect") }
        socket.configureConnection()
        self.socket = consume socket
        // The edge that shows the connection; the transport goes on with the same event.
        watcher = Watcher(descriptor: descriptor, loop: loop, trigger: .edge, [.read, .write]) { [unowned self] _ in
            connected(to: address)
        }
    }

    private func connected(to address: SocketAddress) {
        guard let socket = self.socket.take(), let watcher else { return }
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(socket.descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
        guard code == 0 else {
            watcher.pause()
            return finish(.failed(errno: code))
        }
        let peer = SocketAddress(ip: address.ip.unmapped, port: address.port, scope: address.scope)
        let transport = SocketTransport(socket, peer: peer, loop: loop, watcher: watcher)
        self.watcher = nil
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
