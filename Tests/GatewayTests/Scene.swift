import NetIO
import PKI
import TLS
import TestSupport
import Wire

@testable import Gateway

/// A world with two machines in it, and what most tests need.
final class Scene {
    let world: SimulatedWorld
    let network: SimulatedNetwork
    let staging = Staging()

    init(seed: UInt64, weather: Weather = .fair) {
        world = SimulatedWorld(seed: seed)
        network = SimulatedNetwork(world, weather: weather)
    }

    var random: SeededRandom { world.random }

    /// A connection between the gateway and a peer that the test holds.
    func connection() -> (gateway: SimulatedTransport, peer: TestPeer) {
        let (gateway, peer) = network.pair(
            SocketAddress(ip: IPAddress(192, 0, 2, 1), port: 50_000), SocketAddress(ip: IPAddress(198, 51, 100, 7), port: 40_000))
        return (gateway, TestPeer(peer))
    }

    /// A stream in the clear where no version is given, else one whose TLS handshake is over.
    func stream(_ version: TLSVersion?) -> (stream: Stream, peer: TestPeer)? {
        if let version { return securedStream(version) }
        let (transport, peer) = connection()
        return (Stream(transport, staging: staging), peer)
    }

    /// A stream whose TLS handshake is over.
    func securedStream(
        _ version: TLSVersion, role: TLSConnection.Role = .data(accepts: { _ in false })
    ) -> (stream: Stream, peer: TestPeer)? {
        let (transport, peer) = connection()
        let stream = Stream(transport, staging: staging)
        stream.startTLS(TestContext.plain, role)
        var step = TLSConnection.Step.wantsRead
        transport.onReady = {
            if step != .done { step = stream.handshake() }
            stream.flush()
        }
        transport.wake()
        peer.startTLS(ClientTLSSettings(version))
        guard world.run(until: { step == .done && peer.isUp }) else { return nil }
        return (stream, peer)
    }
}

/// Server contexts that tests share.
enum TestContext {
    static let plain = make()

    static func make(_ change: (inout TLSPolicy) -> Void = { _ in }) -> TLSContext {
        var policy = TLSPolicy()
        change(&policy)
        let folder = TemporaryFolder()
        do {
            let files = try SelfSignedIdentity.ensure(
                directory: folder.path, name: "gateway", dnsNames: ["gateway.example"], ipAddresses: [], days: 1)
            return try TLSContext(
                policy: policy, identities: [TLSIdentity(certificateFile: files.certificateFile, keyFile: files.keyFile)])
        } catch {
            fatalError("no certificate for the tests: \(error)")
        }
    }
}

extension Stream {
    /// Everything that can be read now, and why no more.
    func readAll(limit: Int = Staging.smallestBatch) -> (bytes: [UInt8], stop: Read) {
        var all: [UInt8] = []
        return withUnsafeTemporaryAllocation(byteCount: limit + Staging.recordSize, alignment: 16) { buffer in
            while true {
                let read = self.read(into: buffer, limit: limit)
                guard case .bytes(let count) = read else { return (all, read) }
                all += buffer[..<count]
            }
        }
    }
}
