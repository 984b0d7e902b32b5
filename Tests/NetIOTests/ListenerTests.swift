import Glibc
import Testing
import Wire

@testable import NetIO

struct ListenerTests {
    /// Level-triggered readiness without a descriptor to accept with would spin: it stands back, longer each time, and goes on
    /// once there is one.
    @Test func itStandsBackWhenDescriptorsRunOut() throws {
        let loop = try EventLoop()
        var failures: [Duration] = []
        var isExhausted = true
        var accepted = 0
        let socket = try Socket.listening(on: SocketAddress(ip: loopback, port: 0))
        let listener = try Listener(
            socket: socket, loop: loop,
            acceptOne: { descriptor throws(SystemError) in
                if isExhausted { throw SystemError("accept", code: EMFILE) }
                return try Socket.accept(from: descriptor)
            },
            onExhausted: { error in
                #expect(error.code == EMFILE)
                failures.append(loop.now)
            },
            { _ in accepted += 1 })
        let peer = RawSocket.connected(to: listener.address)
        #expect(loop.run(until: { failures.count == 3 }))
        // Timers count from the start of the turn in which they were started.
        #expect(failures[1] - failures[0] >= .milliseconds(80))
        #expect(failures[2] - failures[1] >= .milliseconds(180))
        isExhausted = false
        #expect(loop.run(until: { accepted == 1 }))
        withExtendedLifetime(peer) {}
    }

    /// Who comes too soon stays in the kernel's queue, and nobody is lost.
    @Test func itTakesItsTime() throws {
        let loop = try EventLoop()
        var accepted: [Duration] = []
        var asked = 0
        let socket = try Socket.listening(on: SocketAddress(ip: loopback, port: 0))
        let listener = try Listener(
            socket: socket, loop: loop,
            delay: {
                asked += 1
                return asked % 2 == 1 ? .milliseconds(20) : nil
            },
            { _ in accepted.append(loop.now) })
        let peers = (0..<4).map { _ in RawSocket.connected(to: listener.address) }
        #expect(loop.run(until: { accepted.count == 4 }))
        for (earlier, later) in zip(accepted, accepted.dropFirst()) { #expect(later - earlier >= .milliseconds(15)) }
        #expect(asked < 20)
        withExtendedLifetime(peers) {}
    }

    @Test func aClosedListenerRefuses() throws {
        let loop = try EventLoop()
        var accepted = 0
        let listener = try Listener(socket: Socket.listening(on: SocketAddress(ip: loopback, port: 0)), loop: loop) { _ in
            accepted += 1
        }
        listener.close()
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        #expect(listener.address.withSockaddr { connect(descriptor, $0, $1) } == -1)
        #expect(errno == ECONNREFUSED)
        #expect(accepted == 0)
    }

    @Test func itMayBeClosedWhileItAccepts() throws {
        let loop = try EventLoop()
        var listener: Listener?
        var accepted = 0
        listener = try Listener(socket: Socket.listening(on: SocketAddress(ip: loopback, port: 0)), loop: loop) { _ in
            accepted += 1
            listener?.close()
        }
        let address = try #require(listener?.address)
        let peers = (0..<3).map { _ in RawSocket.connected(to: address) }
        #expect(loop.run(until: { accepted > 0 }))
        #expect(!loop.run(until: { accepted > 1 }, within: .milliseconds(20)))
        withExtendedLifetime(peers) {}
    }

    @Test(arguments: [1, 16])
    func aCrowdIsAcceptedWhole(_ acceptsPerTurn: Int) throws {
        let loop = try EventLoop()
        var accepted = 0
        let socket = try Socket.listening(on: SocketAddress(ip: loopback, port: 0))
        let listener = try Listener(socket: socket, loop: loop, acceptsPerTurn: acceptsPerTurn) { _ in accepted += 1 }
        let peers = (0..<100).map { _ in RawSocket.connected(to: listener.address) }
        #expect(loop.run(until: { accepted == 100 }))
        withExtendedLifetime(peers) {}
    }
}
