import Glibc
import Testing
import Wire

@testable import NetIO

extension EventLoop {
    /// Runs until the condition holds; false when it does not within the limit.
    func run(until condition: @escaping () -> Bool, within limit: Swift.Duration = .seconds(10)) -> Bool {
        let deadline = now + limit
        var isMet = false
        var look: LoopTimer?
        let timer = LoopTimer(loop: self) { [unowned self] in
            isMet = condition()
            isMet || now >= deadline ? stop() : look?.start(after: .milliseconds(1))
        }
        look = timer
        timer.start(after: .zero)
        run()
        look = nil
        return isMet
    }
}

/// The kernel's view of one end of a connection, used by hand.
final class RawSocket {
    let descriptor: Int32
    init(_ descriptor: Int32) { self.descriptor = descriptor }
    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            precondition(count > 0, "the test's own end cannot send")
            rest = rest.dropFirst(count)
        }
    }

    /// What one receive brings: empty at the end of the stream, nil when there is nothing or the connection is broken.
    func receive(upTo limit: Int = 65536) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = recv(descriptor, &bytes, limit, Int32(MSG_DONTWAIT))
        return count >= 0 ? Array(bytes[..<count]) : nil
    }

    func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Ends with RST.
    func abort() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        // The descriptor stays ours; connecting it to nothing resets the connection.
        var nowhere = sockaddr(sa_family: sa_family_t(AF_UNSPEC), sa_data: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        _ = connect(descriptor, &nowhere, socklen_t(MemoryLayout<sockaddr>.size))
    }

    /// A blocking connection to the address.
    static func connected(to address: SocketAddress) -> RawSocket {
        let descriptor = socket(address.ip.family == .v4 ? AF_INET : AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
        let result = address.withSockaddr { connect(descriptor, $0, $1) }
        precondition(descriptor >= 0 && result == 0, "the test's own end cannot connect: errno \(errno)")
        return RawSocket(descriptor)
    }
}

func address(of socket: borrowing Socket) -> SocketAddress {
    guard let address = socket.localAddress() else { preconditionFailure("a bound socket has an address") }
    return address
}

let loopback = IPAddress(127, 0, 0, 1)

/// A transport, and its peer by hand.
func transportPair(_ loop: EventLoop) throws -> (SocketTransport, RawSocket) {
    let listening = try Socket.listening(on: SocketAddress(ip: loopback, port: 0))
    let address = NetIOTests.address(of: listening)
    let peer = RawSocket.connected(to: address)
    while true {
        guard let accepted = try Socket.accept(from: listening.descriptor) else { continue }
        return (try SocketTransport(accepted, loop: loop), peer)
    }
}

extension Transport {
    func receiveBytes(upTo limit: Int = 65536) -> ([UInt8], IOResult) {
        var bytes = [UInt8](repeating: 0, count: limit)
        let result = bytes.withUnsafeMutableBytes { receive(into: $0) }
        if case .bytes(let count) = result { return (Array(bytes[..<count]), result) }
        return ([], result)
    }

    /// Everything until something else than bytes comes.
    func receiveAll() -> ([UInt8], IOResult) {
        var all: [UInt8] = []
        while true {
            let (bytes, result) = receiveBytes()
            guard case .bytes = result else { return (all, result) }
            all += bytes
        }
    }

    func sendBytes(_ bytes: [UInt8]) -> IOResult { bytes.withUnsafeBytes { send($0) } }
}
