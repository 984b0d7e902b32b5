import Glibc
import NetIO
import TLS
import Wire

@testable import Gateway

/// One transfer through a relay, in weather and with peers that the input decides: what arrives is what was sent, the end is
/// judged for what it was, and nothing gets stuck, be it gathered or not.
///
/// The first bytes are direction, TLS version, gathering and weather; then come two bytes for each step of the peers'.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzRelays(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    var input = UnsafeBufferPointer(start: data, count: count).makeIterator()
    guard let kind = input.next(), let sky = input.next(), let size = input.next() else { return 0 }
    // Every call in vain would be a network in which nothing moves.
    let blocks = Int(sky & 7)
    let weather = Weather(
        spuriousBlockEvery: blocks == 1 ? 0 : blocks, largestMove: sky & 8 == 0 ? .max : 100 + Int(size) * 150,
        isRagged: sky & 16 != 0, capacity: 1024 << Int(sky >> 5))
    let version = [nil, TLSVersion.tls12, .tls13][Int(kind >> 1) % 3]
    let gathering = Gathering.Measure(small: Int(kind >> 1) / 3 % 4)
    guard let transfer = Transfer(seed: UInt64(kind), weather, version, gathering, isUpload: kind & 1 == 0) else {
        promise(false, "no handshake in this weather")
        return 0
    }
    while let step = input.next(), let measure = input.next() { transfer.perform(step, Int(measure)) }
    transfer.conclude()
    return 0
}

extension Gathering.Measure {
    /// What is gathered of a long transfer, for those that are not; 0 is as it is.
    fileprivate init(small: Int) {
        self.init()
        guard small > 0 else { return }
        smallest = 64 << (2 * small)
        largest = smallest * 16
        interval = 4096
    }
}

/// What one input has come to so far.
private final class Transfer {
    private let scene: Scene
    private let isUpload: Bool
    private let from: TestPeer
    private let to: TestPeer
    private var relay: Relay?
    private var ending: Relay.Ending?
    /// All that was to go through.
    private var payload: [UInt8] = []
    /// How the source ended, in the peers' words.
    private var sourceEnd: TestPeer.End?
    private var isCutWithinARecord = false
    private var isSinkBroken = false

    /// In bytes; more only takes longer.
    private static let most = 400_000
    /// No byte is longer than this on its way where both peers read.
    private static let patience = Duration.seconds(1)

    init?(seed: UInt64, _ weather: Weather, _ version: TLSVersion?, _ gathering: Gathering.Measure, isUpload: Bool) {
        scene = Scene(seed: seed, weather: weather)
        self.isUpload = isUpload
        let (clear, backend) = scene.connection()
        let behind = Stream(clear, staging: scene.staging)
        let front: Stream
        let client: TestPeer
        if let version {
            guard let secured = scene.securedStream(version) else { return nil }
            (front, client) = secured
        } else {
            let (transport, peer) = scene.connection()
            (front, client) = (Stream(transport, staging: scene.staging), peer)
        }
        (from, to) = isUpload ? (client, backend) : (backend, client)
        let (source, sink) = isUpload ? (front, behind) : (behind, front)
        relay = Relay(
            from: source, to: sink, staging: scene.staging, scheduler: scene.world, gathering: gathering,
            onSourceEnd: { if $0 == .fin || $0 == .closeNotify { sink.sendCloseNotify(isLast: true) } },
            onEnd: { [unowned self] in ending = $0 })
        for transport in [source.transport, sink.transport] { transport.onReady = { [unowned self] in relay?.pump() } }
        relay?.pump()
    }

    deinit {
        for peer in [from, to] { peer.transport.end.separate() }
        scene.world.end()
    }

    func perform(_ step: UInt8, _ measure: Int) {
        switch step % 10 {
        case 0, 1: send(scene.random.bytes(measure))
        case 2: send(scene.random.bytes(measure * measure * 16))
        case 3: to.isReading = false
        case 4: to.isReading = true
        case 5: scene.world.pass(.milliseconds(measure))
        case 6: from.isReading.toggle()
        case 7 where measure < 32: end(.reset)
        case 7 where measure >= 128: settle()
        case 8 where measure < 128: end(measure % 2 == 0 ? .closeNotify : .fin)
        case 8: cut(measure)
        case 9 where measure < 16:
            isSinkBroken = true
            to.reset()
        default: break
        }
    }

    private func send(_ bytes: [UInt8]) {
        guard sourceEnd == nil, payload.count + bytes.count <= Self.most else { return }
        payload += bytes
        from.send(bytes, recordSize: 1 + scene.random.number(below: 16_384))
    }

    /// The end of the last record is missing.
    private func cut(_ measure: Int) {
        guard sourceEnd == nil, from.tls != nil else { return }
        let bytes = scene.random.bytes(1 + measure)
        let records = from.records(of: bytes)
        from.sendRaw(Array(records.dropLast(1 + measure % 16)))
        isCutWithinARecord = true
        end(.fin)
    }

    private func end(_ end: TestPeer.End) {
        guard sourceEnd == nil else { return }
        sourceEnd = end
        if end == .closeNotify { from.sendCloseNotify() }
        end == .reset ? from.reset() : from.finish()
    }

    /// Whatever was sent arrives, though nothing comes behind it.
    private func settle() {
        from.isReading = true
        to.isReading = true
        guard sourceEnd == nil, !isSinkBroken else { return }
        while to.received.count < payload.count {
            let count = to.received.count
            promise(
                scene.world.run(until: { self.to.received.count > count }, within: Self.patience),
                "\(payload.count - count) of \(payload.count) bytes are not passed on")
        }
    }

    func conclude() {
        settle()
        end(.closeNotify)
        promise(scene.world.run(until: { self.ending != nil }, within: .seconds(3600)), "the relay is stuck")
        scene.world.pass(.seconds(60))
        promise(payload.starts(with: to.received), "other bytes than were sent")
        switch ending {
        case .sinkFailed?: return promise(isSinkBroken, "the sink has not failed")
        case .sourceEnded(let end)?: promise(end == expected || isSinkBroken, "\(end) instead of \(expected)")
        default: promise(false, "\(String(describing: ending))")
        }
        guard !isSinkBroken else { return }
        promise(to.received.count == relay?.bytesMoved, "\(to.received.count) bytes arrived")
        if sourceEnd != .reset { promise(to.received == payload, "\(to.received.count) of \(payload.count) bytes arrived") }
        let isWhole = expected == .fin || expected == .closeNotify
        if to.tls != nil { promise(to.end == (isWhole ? .closeNotify : nil), "the client heard \(String(describing: to.end))") }
    }

    private var expected: Stream.End {
        switch sourceEnd {
        case .reset?: .failed(.transport(errno: ECONNRESET))
        case .closeNotify? where from.tls != nil: .closeNotify
        case _ where from.tls != nil: .truncated(atRecordBoundary: !isCutWithinARecord)
        default: .fin
        }
    }
}
