import NetIO
import Telemetry
import Testing
import Wire

@testable import Gateway

/// With the kernel's own ports: what something else holds at the start is listened on once it is free.
struct MissingPortsTests {
    @Test func aPortThatBecomesFreeIsListenedOn() throws {
        let host = IPAddress(127, 0, 0, 1)
        let holder = try Socket.listening(on: SocketAddress(ip: host, port: 0))
        let port = try #require(holder.localAddress()?.port)
        let loop = try EventLoop()
        let log = CapturedLog()
        var opened: [ListeningSockets.PassivePort] = []
        let missing = MissingPorts([port], hosts: [host], loop: loop, log: log.eventLog, interval: .milliseconds(10)) {
            opened.append($0)
            loop.stop()
        }
        // Held: several attempts come to nothing.
        let holding = LoopTimer(loop: loop) { loop.stop() }
        holding.start(after: .milliseconds(100))
        loop.run()
        #expect(opened.isEmpty && log.events("passive_port.opened").isEmpty)
        Self.close(holder)
        let limit = LoopTimer(loop: loop) { loop.stop() }
        limit.start(after: .seconds(10))
        loop.run()
        #expect(opened.map(\.port) == [port])
        #expect(log.events("passive_port.opened").count == 1)
        for descriptor in opened.flatMap(\.descriptors) { Self.close(Socket(owning: descriptor)) }
        withExtendedLifetime(missing) {}
    }

    private static func close(_ socket: consuming Socket) {}
}
