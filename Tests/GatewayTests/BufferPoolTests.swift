import NetIO
import TLS
import Testing
import Wire

@testable import Gateway

struct BufferPoolTests {
    /// The buffers are never touched: they are address space alone.
    @Test func beyondTheLimitItStillGivesAndSaysSo() {
        let pool = BufferPool()
        var lent: [UnsafeMutableRawBufferPointer] = []
        while !pool.isExhausted { lent.append(pool.take(Staging.largestBatch)) }
        #expect(lent.count == BufferPool.limit / Staging.largestBatch)
        #expect(pool.lentCount == BufferPool.limit)
        lent.append(pool.take(1))
        #expect(lent.last?.count == 512)
        pool.giveBack(lent.removeLast())
        pool.giveBack(lent.removeLast())
        #expect(!pool.isExhausted)
        for buffer in lent { pool.giveBack(buffer) }
        #expect(pool.lentCount == 0)
    }

    @Test func sizesAreRoundedUpAndCounted() {
        let pool = BufferPool()
        for (wanted, size) in [(1, 512), (512, 512), (513, 1024), (32_768, 32_768), (32_769, 65_536)] {
            let buffer = pool.take(wanted)
            #expect(buffer.count == size)
            #expect(pool.lentCount == size)
            pool.giveBack(buffer)
            #expect(pool.lentCount == 0)
        }
    }

    @Test func whatIsGivenBackIsLentAgainUntilItIsTrimmed() {
        let pool = BufferPool()
        let first = pool.take(100_000)
        pool.giveBack(first)
        let again = pool.take(131_072)
        #expect(again.baseAddress == first.baseAddress)
        pool.giveBack(again)
        pool.trim()
        let fresh = pool.take(131_072)
        #expect(pool.lentCount == 131_072)
        pool.giveBack(fresh)
    }

    /// With nothing left to lend a relay goes on, in smallest batches: a reader that stalls then holds little.
    @Test func anExhaustedPoolMakesBatchesSmall() throws {
        let scene = Scene(seed: 3, weather: Weather(capacity: 16 * 1024))
        let (sink, client) = try #require(scene.securedStream(.tls13))
        let (transport, backend) = scene.connection()
        let source = Stream(transport, staging: scene.staging)
        let relay = Relay(from: source, to: sink, staging: scene.staging, scheduler: scene.world) { _ in }
        for transport in [source.transport, sink.transport] { transport.onReady = { relay.pump() } }
        relay.pump()
        let payload = scene.random.bytes(6_000_000)
        backend.send(payload)
        // The reader is quick: batches grow.
        #expect(scene.world.run(until: { client.received.count > 3_000_000 }, within: .seconds(600)))
        var lent: [UnsafeMutableRawBufferPointer] = []
        while !scene.staging.pool.isExhausted { lent.append(scene.staging.pool.take(Staging.largestBatch)) }
        #expect(scene.world.run(until: { client.received.count > 4_000_000 }, within: .seconds(600)))
        client.isReading = false
        scene.world.pass(.seconds(60))
        #expect(sink.unsentCount <= 2 * Staging.smallestBatch)
        client.isReading = true
        #expect(scene.world.run(until: { client.received.count == payload.count }, within: .seconds(600)))
        #expect(client.received == payload)
        for buffer in lent { scene.staging.pool.giveBack(buffer) }
    }
}
