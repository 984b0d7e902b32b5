import Glibc
import NetIO
import TLS
import Testing
import Wire

@testable import Gateway

struct StreamTests {
    enum Ending: CaseIterable {
        case closeNotify, finAtBoundary, finInsideHeader, finInsideRecord, finBeforeLastByte, reset
    }

    /// Reads until the end, as readiness comes.
    private func readToEnd(_ scene: Scene, _ stream: Stream) -> (bytes: [UInt8], end: Stream.End?) {
        var all: [UInt8] = []
        var end: Stream.End?
        stream.transport.onReady = {
            let (bytes, stop) = stream.readAll()
            all += bytes
            if case .end(let found) = stop { end = found }
        }
        stream.transport.wake()
        _ = scene.world.run(until: { end != nil }, within: .seconds(60))
        return (all, end)
    }

    @Test(arguments: TLSVersion.allCases, Ending.allCases)
    func eachWayToEndIsToldApart(_ version: TLSVersion, _ ending: Ending) throws {
        for seed in 1...8 as ClosedRange<UInt64> {
            let scene = Scene(seed: seed, weather: seed % 2 == 0 ? .foul : .fair)
            let (stream, peer) = try #require(scene.securedStream(version))
            let payload = scene.random.bytes(1 + scene.random.number(below: 40_000))
            let records = peer.records(of: payload, closeNotify: ending == .closeNotify)
            let last = min(records.count, 16_384)
            let cut: Int =
                switch ending {
                case .closeNotify, .finAtBoundary, .reset: 0
                case .finInsideHeader: last - 1 - scene.random.number(below: 4)
                case .finInsideRecord: 2 + scene.random.number(below: min(20, payload.count % 16_384 + 10))
                case .finBeforeLastByte: 1
                }
            // A cut inside the header must be one of the last record's.
            let sent = ending == .finInsideHeader ? records + [23, 3, 3].prefix(1 + Int(seed) % 3) : Array(records.dropLast(cut))
            peer.sendRaw(sent)
            if ending == .reset {
                // The RST is what ends it, not what it destroys: everything has arrived before.
                scene.world.pass(.seconds(1))
                peer.reset()
            } else {
                peer.finish()
            }
            let (bytes, end) = readToEnd(scene, stream)
            #expect(payload.starts(with: bytes))
            switch ending {
            case .closeNotify: #expect(end == .closeNotify && bytes == payload)
            case .finAtBoundary: #expect(end == .truncated(atRecordBoundary: true) && bytes == payload)
            case .finInsideHeader: #expect(end == .truncated(atRecordBoundary: false) && bytes == payload)
            case .finInsideRecord, .finBeforeLastByte:
                #expect(end == .truncated(atRecordBoundary: false))
                #expect(bytes.count < payload.count)
            case .reset: #expect(end == .failed(.transport(errno: ECONNRESET)))
            }
            // The end stays the end.
            #expect(stream.readAll().stop == .end(try #require(end)))
        }
    }

    @Test(arguments: TLSVersion.allCases)
    func aHandshakeInPiecesOfOneByteIsDone(_ version: TLSVersion) throws {
        let scene = Scene(seed: 3, weather: Weather(largestMove: 1))
        let (stream, peer) = try #require(scene.securedStream(version))
        peer.send([1, 2, 3])
        peer.sendCloseNotify()
        let (bytes, end) = readToEnd(scene, stream)
        #expect(bytes == [1, 2, 3])
        #expect(end == .closeNotify)
    }

    @Test func aFloodInsteadOfAHandshakeFails() throws {
        let scene = Scene(seed: 1)
        let (transport, peer) = scene.connection()
        let stream = Stream(transport, staging: scene.staging)
        stream.startTLS(TestContext.plain, .data(accepts: { _ in false }))
        var step = TLSConnection.Step.wantsRead
        transport.onReady = { if step == .wantsRead { step = stream.handshake() } }
        transport.wake()
        peer.sendRaw(Array("USER somebody\r\nPASS something\r\n".utf8))
        #expect(scene.world.run(until: { step != .wantsRead }))
        #expect(step == .failed(.notTLS))
    }

    /// The staging area is the worker's: what one connection leaves in it must not reach another.
    @Test func streamsThatShareAStagingAreaDoNotMix() throws {
        let scene = Scene(seed: 11, weather: .foul)
        var streams: [(stream: Stream, peer: TestPeer, payload: [UInt8])] = []
        for _ in 0..<6 {
            let (stream, peer) = try #require(scene.securedStream(streams.count % 2 == 0 ? .tls12 : .tls13))
            streams.append((stream, peer, scene.random.bytes(200_000)))
        }
        var received = [[UInt8]](repeating: [], count: streams.count)
        for (index, entry) in streams.enumerated() {
            entry.stream.transport.onReady = { received[index] += entry.stream.readAll(limit: 3000).bytes }
            entry.stream.transport.wake()
            entry.peer.send(entry.payload, recordSize: 1400)
        }
        #expect(scene.world.run(until: { received.indices.allSatisfy { received[$0].count == streams[$0].payload.count } }))
        for index in streams.indices { #expect(received[index] == streams[index].payload) }
    }

    @Test func whatCannotBeSentIsKeptInOrder() throws {
        for seed in 1...6 as ClosedRange<UInt64> {
            let scene = Scene(seed: seed, weather: .foul)
            let (stream, peer) = try #require(scene.securedStream(.tls13))
            var written: [UInt8] = []
            stream.transport.onReady = { stream.flush() }
            for _ in 0..<10 {
                let piece = scene.random.bytes(1 + scene.random.number(below: 60_000))
                stream.write(piece)
                written += piece
            }
            #expect(stream.hasUnsent)
            stream.sendCloseNotify()
            #expect(scene.world.run(until: { peer.end != nil }, within: .seconds(60)))
            #expect(peer.end == .closeNotify)
            #expect(peer.received == written)
            #expect(!stream.hasUnsent)
        }
    }

    @Test func aBrokenConnectionSaysSoOnce() throws {
        let scene = Scene(seed: 5)
        let (stream, peer) = try #require(scene.securedStream(.tls13))
        peer.reset()
        scene.world.pass(.seconds(1))
        stream.write([1, 2, 3])
        #expect(stream.sendFailure != nil)
        stream.write([4])
        #expect(!stream.flush())
        #expect(stream.unsentCount == 0)
    }

    /// After CCC the first clear command often lies in the segment of the close_notify.
    @Test func clearBytesBehindCloseNotifyAreRead() throws {
        let scene = Scene(seed: 7)
        let (stream, peer) = try #require(scene.securedStream(.tls12))
        peer.sendRaw(peer.records(of: [9], closeNotify: true) + Array("NOOP\r\n".utf8))
        scene.world.pass(.seconds(1))
        let (bytes, stop) = stream.readAll()
        #expect(bytes == [9])
        #expect(stop == .end(.closeNotify))
        stream.sendCloseNotify()
        stream.stopTLS()
        #expect(String(decoding: stream.readAll().bytes, as: UTF8.self) == "NOOP\r\n")
    }

    @Test func aByteThatWasLookedAtIsStillRead() throws {
        let scene = Scene(seed: 8)
        let (transport, peer) = scene.connection()
        let stream = Stream(transport, staging: scene.staging)
        #expect(stream.firstUnreadByte() == nil)
        peer.sendRaw([22, 1, 2])
        scene.world.pass(.seconds(1))
        #expect(stream.firstUnreadByte() == 22)
        #expect(stream.firstUnreadByte() == 22)
        #expect(stream.readAll().bytes == [22, 1, 2])
    }

    @Test func clearStreamsEndWithFINOrReset() throws {
        for isReset in [false, true] {
            let scene = Scene(seed: 9)
            let (transport, peer) = scene.connection()
            let stream = Stream(transport, staging: scene.staging)
            peer.sendRaw([1, 2])
            scene.world.pass(.seconds(1))
            isReset ? peer.reset() : peer.finish()
            let (bytes, end) = readToEnd(scene, stream)
            #expect(bytes == [1, 2])
            #expect(end == (isReset ? .failed(.transport(errno: ECONNRESET)) : .fin))
        }
    }
}
