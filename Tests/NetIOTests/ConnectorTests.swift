import Glibc
import Testing
import Wire

@testable import NetIO

struct ConnectorTests {
    @Test func aConnectionThatIsTakenIsHandedOver() throws {
        let loop = try EventLoop()
        let network = SystemNetwork(loop: loop)
        var accepted: (any Transport)?
        let acceptor = try network.listen(on: SocketAddress(ip: loopback, port: 0)) { accepted = $0 }
        var connected: (any Transport)?
        _ = network.connect(to: acceptor.address, from: nil, within: .seconds(5)) {
            if case .connected(let transport) = $0 { connected = transport }
        }
        #expect(loop.run(until: { accepted != nil && connected != nil }))
        #expect(connected?.peerAddress == acceptor.address)
        #expect(connected?.localAddress == accepted?.peerAddress)
        #expect(accepted?.localPort == acceptor.address.port)
        #expect(connected?.localPort == connected?.localAddress.port)
        acceptor.close()
    }

    /// A data connection that never waits does without them.
    @Test func theOptionsComeWithTheFirstWait() throws {
        let loop = try EventLoop()
        let network = SystemNetwork(loop: loop)
        var accepted: [any Transport] = []
        let acceptor = try network.listen(on: SocketAddress(ip: loopback, port: 0)) { accepted.append($0) }
        func option(afterWaiting waits: Bool) -> Int32 {
            var connected: SocketTransport?
            _ = network.connect(to: acceptor.address, from: nil, within: .seconds(5)) {
                if case .connected(let transport) = $0 { connected = transport as? SocketTransport }
            }
            #expect(loop.run(until: { connected != nil }))
            if waits { #expect(connected?.receiveBytes().1 == .wouldBlock) }
            guard let socket = connected?.detach() else { return -1 }
            var value: Int32 = -1
            var length = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(socket.descriptor, SOL_SOCKET, SO_KEEPALIVE, &value, &length)
            return value
        }
        #expect(option(afterWaiting: false) == 0)
        #expect(option(afterWaiting: true) == 1)
        acceptor.close()
    }

    @Test func aPortThatNobodyListensOnRefuses() throws {
        let loop = try EventLoop()
        let network = SystemNetwork(loop: loop)
        let acceptor = try network.listen(on: SocketAddress(ip: loopback, port: 0)) { _ in }
        let address = acceptor.address
        acceptor.close()
        var code: Int32?
        _ = network.connect(to: address, from: nil, within: .seconds(5)) { if case .failed(let errno) = $0 { code = errno } }
        #expect(loop.run(until: { code != nil }))
        #expect(code == SystemError.connectionRefused)
    }

    @Test func silenceEndsAtTheLimit() throws {
        let loop = try EventLoop()
        let network = SystemNetwork(loop: loop)
        // A queue of one that is full answers no further SYN.
        let full = try Socket.listening(on: SocketAddress(ip: loopback, port: 0), backlog: 0)
        let address = NetIOTests.address(of: full)
        let fillers = (0..<4).map { _ in
            let filler = RawSocket(socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0))
            _ = address.withSockaddr { connect(filler.descriptor, $0, $1) }
            return filler
        }
        var result: ConnectResult?
        let began = loop.now
        let settled = LoopTimer(loop: loop) {
            _ = network.connect(to: address, from: nil, within: .milliseconds(50)) { result = $0 }
        }
        settled.start(after: .milliseconds(50))
        #expect(loop.run(until: { result != nil }))
        guard case .timedOut = result else {
            Issue.record("expected a time-out, got \(String(describing: result))")
            return
        }
        #expect(loop.now - began < .seconds(5))
        withExtendedLifetime(fillers) {}
    }

    @Test func noLimitMeansNoTimeOut() throws {
        let loop = try EventLoop()
        let network = SystemNetwork(loop: loop)
        let acceptor = try network.listen(on: SocketAddress(ip: loopback, port: 0)) { _ in }
        var isConnected = false
        _ = network.connect(to: acceptor.address, from: nil, within: .zero) { if case .connected = $0 { isConnected = true } }
        #expect(loop.run(until: { isConnected }, within: .seconds(2)))
    }

    @Test func aCancelledAttemptNeverCallsBack() throws {
        let loop = try EventLoop()
        let network = SystemNetwork(loop: loop)
        let acceptor = try network.listen(on: SocketAddress(ip: loopback, port: 0)) { _ in }
        var called = false
        let attempt = network.connect(to: acceptor.address, from: nil, within: .seconds(5)) { _ in called = true }
        attempt.cancel()
        let failing = network.connect(
            to: SocketAddress(ip: .anyV6, port: 1), from: SocketAddress(ip: loopback, port: 0), within: .seconds(5)
        ) { _ in
            called = true
        }
        failing.cancel()
        #expect(!loop.run(until: { called }, within: .milliseconds(50)))
        acceptor.close()
    }

    @Test func theSourceIsAsWished() throws {
        let loop = try EventLoop()
        let network = SystemNetwork(loop: loop)
        var peer: SocketAddress?
        let acceptor = try network.listen(on: SocketAddress(ip: loopback, port: 0)) { peer = $0.peerAddress }
        let source = SocketAddress(ip: IPAddress(127, 0, 0, 7), port: 0)
        _ = network.connect(to: acceptor.address, from: source, within: .seconds(5)) { _ in }
        #expect(loop.run(until: { peer != nil }))
        #expect(peer?.ip == source.ip)

        peer = nil
        let free = try network.listen(on: SocketAddress(ip: loopback, port: 0)) { _ in }
        let port = free.address.port
        free.close()
        _ = network.connect(to: acceptor.address, from: SocketAddress(ip: loopback, port: port), within: .seconds(5)) { _ in }
        #expect(loop.run(until: { peer != nil }))
        #expect(peer?.port == port)
    }

    @Test func anAddressOfAnotherMachineIsNoSource() throws {
        let loop = try EventLoop()
        let network = SystemNetwork(loop: loop)
        let acceptor = try network.listen(on: SocketAddress(ip: loopback, port: 0)) { _ in }
        var code: Int32?
        let source = SocketAddress(ip: IPAddress(192, 0, 2, 1), port: 0)
        _ = network.connect(to: acceptor.address, from: source, within: .seconds(5)) {
            if case .failed(let errno) = $0 { code = errno }
        }
        #expect(code == nil)
        #expect(loop.run(until: { code != nil }))
        #expect(code == EADDRNOTAVAIL)
    }
}
