import Glibc
import NetIO
import TLS
import Testing
import Wire

@testable import Gateway

/// Whole transfers through a relay in every kind of weather: no byte is lost, none is made up, none gets stuck, and the end is
/// judged for what it was.
struct RelayTests {
    enum Ending: CaseIterable { case closeNotify, fin, cut, reset }

    /// Each size meets each weather within sixteen seeds.
    private func pieceSize(_ seed: UInt64) -> Int { [1, 1400, 16_384, 16_385][Int(seed / 4) % 4] }

    private func payload(_ random: SeededRandom, pieceSize: Int) -> [UInt8] {
        random.bytes(random.number(below: pieceSize == 1 ? 1500 : 400_000))
    }

    /// Some gather as only long transfers do.
    private func gathering(_ seed: UInt64) -> Gathering.Measure {
        seed % 3 == 0 ? .init(smallest: 1000, largest: 16_000, interval: 4000) : .init()
    }

    /// A receiver that sometimes does not read, and may say that it has nothing to say.
    private func trouble(_ receiver: TestPeer, in world: SimulatedWorld, seed: UInt64) {
        for pause in 1...10 { world.after(.milliseconds(pause * 7)) { receiver.isReading = pause % 2 == 0 } }
        if seed % 5 < 2 { world.after(.milliseconds(seed % 10)) { receiver.finish() } }
    }

    private func weather(_ seed: UInt64) -> Weather {
        switch seed % 4 {
        case 0: .fair
        case 1: .foul
        case 2: Weather(spuriousBlockEvery: 2, largestMove: 700, isRagged: true, capacity: 2048)
        default: Weather(largestMove: 100_000, capacity: 512 * 1024)
        }
    }

    private final class Upload {
        let scene: Scene
        let client: TestPeer
        let backend: TestPeer
        private(set) var ending: Relay.Ending?
        private var relay: Relay?

        init?(seed: UInt64, _ version: TLSVersion, _ weather: Weather, _ gathering: Gathering.Measure = .init()) {
            scene = Scene(seed: seed, weather: weather)
            guard let (stream, peer) = scene.securedStream(version) else { return nil }
            let (transport, backend) = scene.connection()
            client = peer
            self.backend = backend
            let sink = Stream(transport, staging: scene.staging)
            relay = Relay(
                from: stream, to: sink, staging: scene.staging, scheduler: scene.world, gathering: gathering
            ) { [unowned self] in ending = $0 }
            for transport in [stream.transport, sink.transport] { transport.onReady = { [unowned self] in relay?.pump() } }
            relay?.pump()
        }

        var bytesMoved: Int { relay?.bytesMoved ?? 0 }
    }

    @Test(arguments: TLSVersion.allCases, Ending.allCases)
    func anUploadArrivesWholeAndItsEndIsJudged(_ version: TLSVersion, _ ending: Ending) throws {
        for seed in 1...24 as ClosedRange<UInt64> {
            let upload = try #require(Upload(seed: seed, version, weather(seed), gathering(seed)))
            let random = upload.scene.random
            let payload = payload(random, pieceSize: pieceSize(seed))
            let records = upload.client.records(
                of: payload, recordSize: pieceSize(seed), closeNotify: ending == .closeNotify)
            // Cut anywhere inside the last record; without a record there is nothing to cut but a header's beginning.
            let sent =
                ending == .cut ? (payload.isEmpty ? [23, 3] : Array(records.dropLast(1 + random.number(below: 16)))) : records
            upload.client.sendRaw(sent)
            ending == .reset ? upload.client.reset() : upload.client.finish()
            trouble(upload.backend, in: upload.scene.world, seed: seed)
            #expect(upload.scene.world.run(until: { upload.ending != nil }, within: .seconds(600)), "stalled with seed \(seed)")
            upload.scene.world.pass(.seconds(60))
            switch ending {
            case .closeNotify: #expect(upload.ending == .sourceEnded(.closeNotify), "seed \(seed)")
            case .fin: #expect(upload.ending == .sourceEnded(.truncated(atRecordBoundary: true)), "seed \(seed)")
            case .cut: #expect(upload.ending == .sourceEnded(.truncated(atRecordBoundary: false)), "seed \(seed)")
            case .reset:
                #expect(upload.ending == .sourceEnded(.failed(.transport(errno: ECONNRESET))), "seed \(seed)")
            }
            #expect(payload.starts(with: upload.backend.received), "seed \(seed)")
            if ending == .closeNotify || ending == .fin { #expect(upload.backend.received == payload, "seed \(seed)") }
            #expect(upload.backend.received.count == upload.bytesMoved, "seed \(seed)")
        }
    }

    @Test(arguments: [TLSVersion?.none, .tls12, .tls13], [false, true])
    func aDownloadArrivesWholeAndItsEndIsJudged(_ version: TLSVersion?, _ isReset: Bool) throws {
        for seed in 1...24 as ClosedRange<UInt64> {
            let scene = Scene(seed: seed, weather: weather(seed))
            let (sink, client) = try #require(scene.stream(version))
            let (transport, backend) = scene.connection()
            let source = Stream(transport, staging: scene.staging)
            var ending: Relay.Ending?
            let relay = Relay(
                from: source, to: sink, staging: scene.staging, scheduler: scene.world, gathering: gathering(seed)
            ) { ending = $0 }
            for transport in [source.transport, sink.transport] { transport.onReady = { relay.pump() } }
            relay.pump()
            let size = pieceSize(seed)
            let payload = payload(scene.random, pieceSize: size)
            for start in stride(from: 0, to: payload.count, by: size) {
                scene.world.after(.microseconds(start / size * 50)) {
                    backend.send(Array(payload[start..<min(start + size, payload.count)]))
                }
            }
            scene.world.after(.microseconds(payload.count / size * 50 + 50)) { isReset ? backend.reset() : backend.finish() }
            trouble(client, in: scene.world, seed: seed)
            #expect(scene.world.run(until: { ending != nil }, within: .seconds(600)), "stalled with seed \(seed)")
            scene.world.pass(.seconds(60))
            #expect(
                ending == .sourceEnded(isReset ? .failed(.transport(errno: ECONNRESET)) : .fin), "seed \(seed)")
            #expect(payload.starts(with: client.received), "seed \(seed)")
            if !isReset { #expect(client.received == payload, "seed \(seed)") }
            #expect(client.end == nil)
        }
    }

    @Test func aSinkThatBreaksEndsTheRelay() throws {
        for seed in 1...12 as ClosedRange<UInt64> {
            let scene = Scene(seed: seed, weather: weather(seed))
            let (sink, client) = try #require(scene.securedStream(.tls13))
            let (transport, backend) = scene.connection()
            let source = Stream(transport, staging: scene.staging)
            var ending: Relay.Ending?
            let relay = Relay(from: source, to: sink, staging: scene.staging, scheduler: scene.world) { ending = $0 }
            for transport in [source.transport, sink.transport] { transport.onReady = { relay.pump() } }
            relay.pump()
            client.isReading = false
            backend.send(scene.random.bytes(2_000_000))
            scene.world.after(.milliseconds(3)) { client.reset() }
            #expect(scene.world.run(until: { ending != nil }, within: .seconds(600)), "stalled with seed \(seed)")
            #expect(ending == .sinkFailed)
        }
    }

    /// A sink that takes nothing: the source is not read, and no more than a batch is held.
    @Test func aReaderThatStallsHoldsNoMoreThanABatch() throws {
        let scene = Scene(seed: 1, weather: Weather(capacity: 16 * 1024))
        let (sink, client) = try #require(scene.securedStream(.tls13))
        client.isReading = false
        let (transport, backend) = scene.connection()
        let source = Stream(transport, staging: scene.staging)
        let relay = Relay(from: source, to: sink, staging: scene.staging, scheduler: scene.world) { _ in }
        for transport in [source.transport, sink.transport] { transport.onReady = { relay.pump() } }
        relay.pump()
        let payload = scene.random.bytes(5_000_000)
        backend.send(payload)
        scene.world.pass(.seconds(60))
        #expect(sink.unsentCount <= Staging.largestBatch + 64 * 1024)
        #expect(backend.hasUnsent)
        let held = relay.bytesMoved
        client.isReading = true
        #expect(scene.world.run(until: { client.received.count == payload.count }, within: .seconds(600)))
        #expect(client.received == payload)
        #expect(held < 1_000_000)
    }

    /// By then bytes are gathered; what comes when the rest is late is not kept waiting for it.
    @Test(arguments: [TLSVersion?.none, .tls13])
    func fewBytesBehindManyAreNotHeldBack(_ version: TLSVersion?) throws {
        for seed in 1...8 as ClosedRange<UInt64> {
            let scene = Scene(seed: seed, weather: weather(seed))
            let (random, world) = (scene.random, scene.world)
            let (source, sender) = try #require(scene.stream(version))
            let (transport, receiver) = scene.connection()
            let sink = Stream(transport, staging: scene.staging)
            var ending: Relay.Ending?
            let relay = Relay(from: source, to: sink, staging: scene.staging, scheduler: world) { ending = $0 }
            for transport in [source.transport, sink.transport] { transport.onReady = { relay.pump() } }
            relay.pump()
            var sent: [UInt8] = []
            func send(_ count: Int, thenWait patience: Duration) {
                let bytes = random.bytes(count)
                sent += bytes
                sender.sendRaw(version == nil ? bytes : sender.records(of: bytes, recordSize: 16_384, closeNotify: false))
                #expect(
                    world.run(until: { receiver.received.count == sent.count }, within: patience),
                    "\(sent.count - receiver.received.count) bytes are late with seed \(seed)")
            }
            send(3_000_000, thenWait: .seconds(600))
            for _ in 1...20 { send(1 + random.number(below: 5000), thenWait: .milliseconds(200)) }
            send(2_000_000, thenWait: .seconds(600))
            #expect(receiver.received == sent && ending == nil)
            sender.finish()
            #expect(world.run(until: { ending != nil }, within: .seconds(60)))
            #expect(ending == .sourceEnded(version == nil ? .fin : .truncated(atRecordBoundary: true)))
        }
    }

    /// What the sink's peer says runs the relay, and is no reason to wait for the source anew.
    @Test func aReaderThatTalksDoesNotHoldBackWhatIsGathered() throws {
        let scene = Scene(seed: 1)
        let world = scene.world
        let (sink, client) = try #require(scene.stream(.tls13))
        let (transport, backend) = scene.connection()
        let source = Stream(transport, staging: scene.staging)
        let relay = Relay(
            from: source, to: sink, staging: scene.staging, scheduler: world, gathering: .init(smallest: 1000, interval: 1000)
        ) { _ in }
        source.transport.onReady = { relay.pump() }
        sink.transport.onReady = {
            _ = sink.readAll()
            relay.pump()
        }
        relay.pump()
        backend.send(scene.random.bytes(2000))
        #expect(world.run(until: { client.received.count == 2000 }))
        for moment in 1...100 { world.after(.milliseconds(moment * 5)) { client.send([1]) } }
        backend.send([2])
        #expect(world.run(until: { client.received.count == 2001 }, within: .milliseconds(100)))
    }

    /// A record arrives in two segments, far apart in time.
    @Test(arguments: TLSVersion.allCases)
    func halfARecordWaitsForItsOtherHalf(_ version: TLSVersion) throws {
        let upload = try #require(Upload(seed: 2, version, .fair))
        let payload = upload.scene.random.bytes(100_000)
        let records = upload.client.records(of: payload, closeNotify: true)
        for start in stride(from: 0, to: records.count, by: 9_999) {
            upload.client.sendRaw(Array(records[start..<min(start + 9_999, records.count)]))
            upload.scene.world.pass(.seconds(1))
        }
        #expect(upload.scene.world.run(until: { upload.ending != nil }))
        #expect(upload.ending == .sourceEnded(.closeNotify))
        #expect(upload.backend.received == payload)
    }
}
