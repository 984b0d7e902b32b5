import NetIO
import TLS
import Testing
import Wire

@testable import Gateway

/// Transfers as they should go, with every kind of client and backend.
struct TransferTests {
    @Test(arguments: TLSVersion.allCases, [false, true])
    func filesGoBothWaysAndEndInOrder(_ version: TLSVersion, _ isImplicit: Bool) throws {
        for seed in 1...4 as ClosedRange<UInt64> {
            let scene = Scene(seed: seed, weather: seed % 2 == 0 ? .foul : .fair)
            let gateway = try SimulatedGateway(scene)
            let client = try SimulatedClient(gateway, version, isImplicit: isImplicit)
            for size in [0, 1, 16_383, 16_384, 16_385, 300_000] {
                let bytes = scene.random.bytes(size)
                gateway.backend.files["f\(size)"] = bytes
                #expect(try client.retrieve("f\(size)", verb: size % 2 == 0 ? "PASV" : "EPSV") == bytes)
                try client.store(bytes, as: "g\(size)")
                #expect(gateway.backend.stored.last == .init(name: "g\(size)", bytes: bytes, end: .fin))
            }
            try client.ask("QUIT", 221)
            #expect(client.comesTrue { client.control.end != nil })
            #expect(client.control.end == .closeNotify)
            #expect(client.comesTrue { gateway.sessions.isEmpty })
        }
    }
}
