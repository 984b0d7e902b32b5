import FTPSession
import NetIO
import TLS
import Testing
import Wire

@testable import Gateway

/// Transfers in the clear over the kernel's own sockets: long ones go through a pipe, and nobody can tell.
@Suite struct BypassTests {
    private static let loopback = SocketAddress(ip: IPAddress(127, 0, 0, 1), port: 0)

    /// A loop, and pairs of connected sockets on it.
    private final class Stage {
        let loop: EventLoop
        let network: SystemNetwork
        private var acceptor: (any Acceptor)?
        private var attempts: [any ConnectAttempt] = []

        init() throws {
            loop = try EventLoop()
            network = SystemNetwork(loop: loop)
        }

        func pair() throws -> (any Transport, any Transport) {
            var (near, far): ((any Transport)?, (any Transport)?) = (nil, nil)
            let done = { [loop] in if near != nil, far != nil { loop.stop() } }
            let acceptor = try network.listen(on: BypassTests.loopback) {
                far = $0
                done()
            }
            self.acceptor = acceptor
            attempts.append(
                network.connect(to: acceptor.address, from: nil, within: .seconds(5)) {
                    if case .connected(let transport) = $0 { near = transport }
                    done()
                })
            run(until: { near != nil && far != nil })
            return (try #require(near), try #require(far))
        }

        /// Bounded: a loop that is stuck fails the test.
        func run(until isOver: () -> Bool) {
            let limit = LoopTimer(loop: loop) { [loop] in loop.stop() }
            limit.start(after: .seconds(20))
            let began = loop.now
            while !isOver(), loop.now - began < .seconds(20) { loop.run() }
        }
    }

    /// Writes all of its bytes, then FIN or RST.
    private static func feed(_ transport: any Transport, _ bytes: [UInt8], then end: @escaping (any Transport) -> Void) {
        var sent = 0
        let pump = {
            while sent < bytes.count {
                let result = bytes.withUnsafeBytes { transport.send(UnsafeRawBufferPointer(rebasing: $0[sent...])) }
                guard case .bytes(let count) = result else { return }
                sent += count
            }
            end(transport)
        }
        transport.onReady = pump
        pump()
    }

    @Test(arguments: [0, 1, 1_000_000, 9_000_001])
    func everyByteArrivesAndSoDoesTheEnd(count: Int) throws {
        let stage = try Stage()
        let (sourceEnd, backend) = try stage.pair()
        let (sinkEnd, client) = try stage.pair()
        let staging = Staging()
        let (source, sink) = (Stream(sourceEnd, staging: staging), Stream(sinkEnd, staging: staging))
        var ending: Relay.Ending?
        var wentThroughThePipe = false
        let relay = Relay(from: source, to: sink, staging: staging, scheduler: stage.loop) {
            ending = $0
            sink.transport.finishWriting()
        }
        for transport in [sourceEnd, sinkEnd] {
            transport.onReady = {
                relay.pump()
                wentThroughThePipe = wentThroughThePipe || relay.isBypassing
            }
            transport.wake()
        }
        let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
        Self.feed(backend, payload) { $0.finishWriting() }
        var received: [UInt8] = []
        var hasEnded = false
        client.onReady = { [loop = stage.loop] in
            withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 8) { buffer in
                while case .bytes(let count) = client.receive(into: buffer) { received += buffer[..<count] }
                if case .endOfStream = client.receive(into: buffer) {
                    hasEnded = true
                    loop.stop()
                }
            }
        }
        client.wake()
        stage.run { hasEnded }
        #expect(received == payload)
        #expect(ending == .sourceEnded(.fin))
        #expect(relay.bytesMoved == count)
        #expect(wentThroughThePipe == (count > 2 * 1024 * 1024))
        #expect(staging.pipes.idleCount == (wentThroughThePipe ? 1 : 0))
    }

    @Test func aSourceThatBreaksIsToldFromOneThatEnds() throws {
        let stage = try Stage()
        let (sourceEnd, backend) = try stage.pair()
        let (sinkEnd, client) = try stage.pair()
        let staging = Staging()
        var ending: Relay.Ending?
        let relay = Relay(
            from: Stream(sourceEnd, staging: staging), to: Stream(sinkEnd, staging: staging), staging: staging,
            scheduler: stage.loop
        ) {
            ending = $0
            stage.loop.stop()
        }
        for transport in [sourceEnd, sinkEnd] { transport.onReady = { relay.pump() } }
        relay.pump()
        client.onReady = {
            withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 8) { buffer in
                while case .bytes = client.receive(into: buffer) {}
            }
        }
        client.wake()
        Self.feed(backend, [UInt8](repeating: 7, count: 5_000_000)) { $0.reset() }
        stage.run { ending != nil }
        // ECONNRESET.
        #expect(ending == .sourceEnded(.failed(.transport(errno: 104))))
    }

    @Test func aSinkThatStallsHoldsThePipeAndNoMore() throws {
        let stage = try Stage()
        let (sourceEnd, backend) = try stage.pair()
        let (sinkEnd, client) = try stage.pair()
        let staging = Staging()
        let relay = Relay(
            from: Stream(sourceEnd, staging: staging), to: Stream(sinkEnd, staging: staging), staging: staging,
            scheduler: stage.loop
        ) {
            _ in
        }
        for transport in [sourceEnd, sinkEnd] { transport.onReady = { relay.pump() } }
        relay.pump()
        Self.feed(backend, [UInt8](repeating: 7, count: 64 * 1024 * 1024)) { $0.finishWriting() }
        // Nobody reads: once every buffer of the kernel is full, nothing moves any more.
        var moved = -1
        let pause = LoopTimer(loop: stage.loop) { [loop = stage.loop] in loop.stop() }
        while moved != relay.bytesMoved {
            moved = relay.bytesMoved
            pause.start(after: .milliseconds(200))
            stage.loop.run()
        }
        #expect(relay.isBypassing)
        #expect(relay.unsentCount <= 1024 * 1024)
        #expect(staging.pool.lentCount == 0)
        _ = client
    }
}
