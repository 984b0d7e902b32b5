import Glibc
public import Wire

/// The kernel's sockets on one loop.
public final class SystemNetwork: Network {
    private let loop: EventLoop
    private lazy var resolver = Resolver(loop: loop)

    public init(loop: EventLoop) { self.loop = loop }

    public func connect(
        to address: SocketAddress, from source: SocketAddress?, within limit: Duration,
        _ completion: @escaping (ConnectResult) -> Void
    ) -> any ConnectAttempt {
        Connector(to: address, from: source, within: limit, loop: loop, completion)
    }

    public func listen(
        on address: SocketAddress, _ onAccept: @escaping (any Transport) -> Void
    ) throws(SystemError) -> any Acceptor {
        let loop = loop
        return try Listener(socket: Socket.listening(on: address, backlog: 4), loop: loop) { socket in
            if let transport = try? SocketTransport(socket, loop: loop) { onAccept(transport) }
        }
    }

    public func resolve(_ host: String, _ completion: @escaping ([IPAddress], String?) -> Void) {
        if let numeric = IPAddress(host) {
            completion([numeric], nil)
        } else {
            resolver.resolve(host, completion)
        }
    }
}
