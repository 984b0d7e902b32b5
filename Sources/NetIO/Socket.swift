import CLinux
import Glibc
public import Wire

/// A descriptor that nobody else has: closed when it goes, unless it was taken out.
public struct Socket: ~Copyable, Sendable {
    public let descriptor: Int32
    /// What is known of an accepted connection without asking.
    private(set) var peer: SocketAddress?
    public internal(set) var localPort: UInt16?

    /// Takes ownership of `descriptor`.
    /// - Parameters:
    ///   - peer: where it is known already.
    ///   - localPort: where it is known already.
    public init(owning descriptor: Int32, peer: SocketAddress? = nil, localPort: UInt16? = nil) {
        self.descriptor = descriptor
        self.peer = peer
        self.localPort = localPort
    }

    deinit { Glibc.close(descriptor) }

    /// Gives the descriptor away: whoever takes it closes it.
    public consuming func take() -> Int32 {
        let taken = descriptor
        discard self
        return taken
    }

    /// A non-blocking TCP socket.
    public static func tcp(_ family: IPAddress.Family) throws(SystemError) -> Socket {
        let domain = family == .v4 ? AF_INET : AF_INET6
        let descriptor = ftpsgate_tcp_socket(domain)
        guard descriptor >= 0 else { throw SystemError("socket") }
        return Socket(owning: descriptor)
    }

    public borrowing func setOption(_ level: Int32, _ name: Int32, _ value: Int32) {
        Self.setOption(descriptor, level, name, value)
    }

    private static func setOption(_ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// What every connection gets: no delay of small segments, urgent data in line, keep-alive after 60 s. What a listening
    /// socket has, the connections that it accepts have from it.
    public borrowing func configureConnection() { Self.configureConnection(descriptor) }

    static func configureConnection(_ descriptor: Int32) {
        setOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        setOption(descriptor, SOL_SOCKET, SO_OOBINLINE, 1)
        setOption(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1)
        setOption(descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE, 60)
        setOption(descriptor, Int32(IPPROTO_TCP), TCP_KEEPINTVL, 10)
        setOption(descriptor, Int32(IPPROTO_TCP), TCP_KEEPCNT, 6)
    }

    /// A listening socket. The unspecified IPv6 address takes IPv4 as well.
    /// - Parameter isConfigured: false where somebody else is to call `configureConnection`.
    public static func listening(
        on address: SocketAddress, backlog: Int32 = 1024, isConfigured: Bool = true
    ) throws(SystemError) -> Socket {
        let socket = try tcp(address.ip.family)
        socket.setOption(SOL_SOCKET, SO_REUSEADDR, 1)
        if isConfigured { socket.configureConnection() }
        if address.ip.family == .v6 { socket.setOption(Int32(IPPROTO_IPV6), IPV6_V6ONLY, address.ip.isUnspecified ? 0 : 1) }
        let descriptor = socket.descriptor
        guard address.withSockaddr({ bind(descriptor, $0, $1) }) == 0 else { throw SystemError("cannot listen on \(address)") }
        guard listen(descriptor, backlog) == 0 else { throw SystemError("cannot listen on \(address)") }
        return socket
    }

    /// One attempt to send a last word on a connection that is about to be closed.
    public borrowing func sendOnce(_ bytes: [UInt8]) {
        _ = bytes.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    }

    public borrowing func localAddress() -> SocketAddress? { Self.localAddress(of: descriptor) }
    static func localAddress(of descriptor: Int32) -> SocketAddress? { name(descriptor, getsockname) }
    public borrowing func peerAddress() -> SocketAddress? { peer ?? Self.name(descriptor, getpeername) }

    static func name(
        _ descriptor: Int32, _ call: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { call(descriptor, $0, &length) }
        }
        return result == 0 ? SocketAddress(storage) : nil
    }

    /// Accepts one connection; nil when none waits.
    static func accept(from listener: Int32) throws(SystemError) -> Socket? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let descriptor = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { ftpsgate_accept4(listener, $0, &length) }
        }
        if descriptor >= 0 {
            var socket = Socket(owning: descriptor)
            socket.peer = SocketAddress(storage)
            return socket
        }
        switch errno {
        case EAGAIN, ECONNABORTED, EINTR, EPERM, EPROTO: return nil
        default: throw SystemError("accept")
        }
    }
}

extension Socket {
    /// A listening UNIX socket that its owner and group may use. One that an earlier process left behind is replaced; one that
    /// answers is not.
    /// - Parameter path: at most 107 bytes.
    public static func listening(atPath path: String) throws(SystemError) -> Socket {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw SystemError("cannot listen on \(path)", code: ENAMETOOLONG)
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        func call(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
            withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
            }
        }
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let probe = Socket(owning: Glibc.socket(AF_UNIX, type, 0))
        let probeDescriptor = probe.descriptor
        if call({ Glibc.connect(probeDescriptor, $0, $1) }) != 0, errno == ECONNREFUSED { unlink(path) }
        let socket = Socket(owning: Glibc.socket(AF_UNIX, type, 0))
        let descriptor = socket.descriptor
        guard descriptor >= 0, call({ bind(descriptor, $0, $1) }) == 0, chmod(path, 0o660) == 0, listen(descriptor, 64) == 0
        else {
            throw SystemError("cannot listen on \(path)")
        }
        return socket
    }
}
