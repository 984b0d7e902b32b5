import NetIO
import TLS
import Testing
import Wire

@testable import Gateway

/// From PASV's reply to the connection: what the client is told, and for how long that holds.
struct DataPromiseTests {
    @Test func aPromiseEndsWithTheDataTimeout() throws {
        let scene = Scene(seed: 1)
        let gateway = try SimulatedGateway(scene, ports: 50_000...50_000) {
            $0.timeouts.data = .seconds(30)
            $0.passiveAddress = .init(source: .fixed(IPAddress(192, 0, 2, 77)))
        }
        gateway.backend.files["file"] = [1, 2, 3]
        let client = try SimulatedClient(gateway)
        #expect(try client.passive("PASV").ip == IPAddress(192, 0, 2, 77))
        let other = try SimulatedClient(gateway)
        other.say("EPSV")
        // One user, one port: the other's turn comes when the promise is over.
        #expect(other.isSilent(for: .seconds(20)))
        try other.expect(229, within: .seconds(25))
        let answer = try client.ask("RETR file", 425)
        #expect(answer.text.contains("192.0.2.77:50000"))
        #expect(gateway.log.last("transfer").contains("reason=client_never_connected"))
        other.say("ABOR")
        #expect(try client.retrieve("file") == [1, 2, 3])
    }

    @Test func aTransferThatBeginsInTimeHasAllOfTheDataTimeout() throws {
        let scene = Scene(seed: 2)
        let gateway = try SimulatedGateway(scene) { $0.timeouts.data = .seconds(30) }
        gateway.backend.files["file"] = [1, 2, 3]
        let client = try SimulatedClient(gateway)
        let address = try client.passive()
        scene.world.pass(.seconds(20))
        client.say("RETR file")
        try client.expect(150)
        scene.world.pass(.seconds(20))
        let data = try client.dial(address)
        try client.expect(226)
        #expect(data.received == [1, 2, 3])
    }

    @Test func aBackendThatListensAMomentLaterIsDialledAgain() throws {
        for (delay, isInTime) in [(50, true), (300, false)] {
            let scene = Scene(seed: 3)
            let gateway = try SimulatedGateway(scene)
            gateway.backend.files["file"] = [1, 2, 3]
            gateway.backend.handlers["EPSV"] = { session, _ in
                session.say("229 Entering Extended Passive Mode (|||40000|)")
                session.world.after(.milliseconds(delay)) { session.listen(port: 40_000) }
            }
            let client = try SimulatedClient(gateway)
            if isInTime {
                #expect(try client.retrieve("file") == [1, 2, 3])
            } else {
                _ = try client.passive()
                let answer = try client.ask("RETR file", 425)
                #expect(answer.text.contains("--backend-data active"))
                #expect(gateway.log.last("transfer").contains("reason=backend_data_refused"))
            }
        }
    }

    @Test func clientsAreToldThePortThatIsForwarded() throws {
        let scene = Scene(seed: 4)
        let gateway = try SimulatedGateway(scene, ports: 50_000...50_001) {
            $0.passivePortOffset = -10_000
            $0.passivePortMap = PortMap("50001=61000")!
        }
        gateway.backend.files["file"] = [1, 2, 3]
        let client = try SimulatedClient(gateway)
        var told: Set<UInt16> = []
        for round in 0..<20 {
            let address = try client.passive(round % 2 == 0 ? "PASV" : "EPSV")
            told.insert(address.port)
            client.say("RETR file")
            let data = try client.dial(SocketAddress(ip: address.ip, port: address.port == 61_000 ? 50_001 : 50_000))
            try client.expect(150)
            try client.expect(226)
            #expect(data.received == [1, 2, 3])
        }
        #expect(told == [40_000, 61_000])
    }

    @Test func whoMustResumeGoesByListener() throws {
        let scene = Scene(seed: 6)
        let gateway = try SimulatedGateway(scene) {
            $0.dataSession = .require
            $0.dataSessionExceptions = [.init(.listener(port: 990), .off)]
        }
        gateway.backend.files["file"] = [1, 2, 3]
        for (isImplicit, code) in [(false, 522), (true, 226)] {
            let client = try SimulatedClient(gateway, isImplicit: isImplicit)
            let address = try client.passive()
            client.say("RETR file")
            let data = try client.dial(address, resumes: false)
            try client.expect(150)
            let answer = try #require(client.answer())
            #expect(answer.code == code, "\(answer) \(data.end as Any)")
        }
        #expect(gateway.log.events("data.would_be_refused").isEmpty)
    }

    @Test func whoMustResumeGoesByNetwork() throws {
        let scene = Scene(seed: 5)
        let gateway = try SimulatedGateway(scene) {
            $0.dataSession = .require
            $0.dataSessionExceptions = [.init(.network(CIDRBlock("203.0.113.0/24")!), .prefer)]
        }
        gateway.backend.files["file"] = [1, 2, 3]
        for (ip, code) in [(IPAddress(198, 51, 100, 7), 522), (IPAddress(203, 0, 113, 9), 226)] {
            let client = try SimulatedClient(gateway, at: ip)
            let address = try client.passive()
            client.say("RETR file")
            let data = try client.dial(address, resumes: false)
            try client.expect(150)
            try client.expect(code)
            #expect(data.received == (code == 226 ? [1, 2, 3] : []))
        }
        #expect(gateway.log.events("data.would_be_refused").count == 1)
        #expect(gateway.log.last("data.would_be_refused").contains("reason=data_not_resumed"))
    }
}
