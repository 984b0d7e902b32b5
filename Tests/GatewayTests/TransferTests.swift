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

    /// A backend that finds its data connection gone when it accepts it may send the file with the next transfer's.
    @Test func aBackendHasTheTimeToAcceptWhatIsRefusedToTheClient() throws {
        let scene = Scene(seed: 5)
        let gateway = try SimulatedGateway(scene)
        var session: SimulatedBackend.Session?
        gateway.backend.handlers["RETR"] = {
            session = $0
            $0.say("150 Here it comes.")
            _ = $1
        }
        let client = try SimulatedClient(gateway)
        for sendsAtLast in [true, false] {
            let data = try client.dial(client.passive(), tls: false)
            client.say("RETR file")
            try client.expect(150)
            data.sendRaw(Array("this is not TLS\r\n".utf8))
            try client.expect(522)
            let backendData = try #require(session?.data)
            scene.world.pass(.milliseconds(100))
            #expect(backendData.end == nil)
            if sendsAtLast { backendData.send([1, 2, 3]) }
            #expect(client.comesTrue(within: sendsAtLast ? .milliseconds(20) : .seconds(1)) { backendData.end == .reset })
            session?.forgetData()
            session?.say("426 Connection broken.")
        }
    }
}
