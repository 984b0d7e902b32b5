public import NetIO
public import Wire

/// What the operator's programs may ask: `/livez`, `/readyz` and `/metrics`, over HTTP on a port of its own or a UNIX socket
/// (`--admin`). It has a thread and a loop of its own, so that it answers even when a worker does not.
public enum AdminServer {
    public enum Address: Sendable, Equatable, CustomStringConvertible {
        case tcp(SocketAddress)
        case unix(path: String)

        public var description: String {
            switch self {
            case .tcp(let address): "\(address)"
            case .unix(let path): "unix:\(path)"
            }
        }
    }

    /// Listens, and answers until the process ends.
    /// - Returns: where it listens, with the port that the kernel chose for port 0.
    /// - Throws: when the address cannot be listened on, or no thread can be had.
    public static func start(at address: Address, source: AdminSource) throws(SystemError) -> Address {
        switch address {
        case .tcp(let wanted):
            let socket = try Socket.listening(on: wanted)
            let actual = Address.tcp(socket.localAddress() ?? wanted)
            try serve(on: socket, source)
            return actual
        case .unix(let path):
            try serve(on: try Socket.listening(atPath: path), source)
            return address
        }
    }

    private static func serve(on socket: consuming Socket, _ source: AdminSource) throws(SystemError) {
        let descriptor = socket.take()
        try Thread.start(name: "admin") {
            do throws(SystemError) {
                let loop = try EventLoop()
                let server = try HTTPServer(loop: loop) { source.answer($0) }
                try server.accept(on: Socket(owning: descriptor))
                withExtendedLifetime(server) { loop.run() }
            } catch {
                source.onFailure("\(error)")
            }
        }
    }
}
