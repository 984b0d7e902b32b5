import FTPSession
import NetIO
import TLS
import Testing
import Wire

@testable import Gateway

/// Clients begin the data handshake when they please: before the command, after it, after the 150 (PROTOCOL 5.1, D17).
struct HandshakeTimingTests {
    enum Moment: CaseIterable { case beforeCommand, completeBeforeCommand, afterCommand, after150, longAfter150 }

    @Test(arguments: Moment.allCases, SessionPolicy.VerifyBeforeStore.allCases)
    func everyMomentIsServed(_ moment: Moment, _ verify: SessionPolicy.VerifyBeforeStore) throws {
        for (seed, version) in [(1, TLSVersion.tls12), (2, .tls13)] as [(UInt64, TLSVersion)] {
            let scene = Scene(seed: seed)
            let gateway = try SimulatedGateway(scene) { $0.session.verifyBeforeStore = verify }
            let client = try SimulatedClient(gateway, version)
            let payload = scene.random.bytes(20_000)
            gateway.backend.files["file"] = payload
            for verb in ["RETR", "STOR"] {
                let address = try client.passive()
                let data = try client.dial(address, tls: false)
                switch moment {
                case .beforeCommand:
                    data.startTLS(client.settings, resumes: true)
                    client.say("\(verb) file")
                case .completeBeforeCommand:
                    data.startTLS(client.settings, resumes: true)
                    #expect(client.comesTrue { data.isUp })
                    scene.world.pass(.seconds(1))
                    client.say("\(verb) file")
                case .afterCommand:
                    client.say("\(verb) file")
                    data.startTLS(client.settings, resumes: true)
                default:
                    client.say("\(verb) file")
                }
                try client.expect(150)
                if moment == .longAfter150 { scene.world.pass(.seconds(8)) }
                if moment == .after150 || moment == .longAfter150 { data.startTLS(client.settings, resumes: true) }
                if verb == "STOR" {
                    #expect(client.comesTrue { data.isUp })
                    data.send(payload)
                    data.sendCloseNotify()
                    data.close()
                    try client.expect(226)
                    #expect(gateway.backend.stored.last == .init(name: "file", bytes: payload, end: .fin))
                } else {
                    try client.expect(226)
                    #expect(client.comesTrue { data.end != nil })
                    #expect(data.received == payload)
                }
                #expect(data.tls?.isResumed == true, "\(version) \(verb)")
            }
        }
    }

    /// The backend takes its time with its 150, and the client waits for it.
    @Test func aSlow150IsWaitedForWithoutAHandshake() throws {
        let scene = Scene(seed: 3)
        let gateway = try SimulatedGateway(scene)
        gateway.backend.handlers["RETR"] = { session, _ in
            session.world.after(.seconds(45)) { session.sendFile([1, 2, 3]) }
        }
        let client = try SimulatedClient(gateway)
        let data = try client.dial(client.passive(), tls: false)
        client.say("RETR file")
        try client.expect(150, within: .seconds(50))
        data.startTLS(client.settings, resumes: true)
        try client.expect(226)
        #expect(data.received == [1, 2, 3])
    }

    /// A refusal closes what was opened, whatever state it is in, and the next transfer works.
    @Test(arguments: Moment.allCases, ["RETR", "STOR"])
    func aRefusedTransferLeavesNothingBehind(_ moment: Moment, _ verb: String) throws {
        let scene = Scene(seed: 4)
        let gateway = try SimulatedGateway(scene)
        gateway.backend.handlers["RETR"] = { session, name in
            name == "file" ? session.say("550 No.") : session.sendFile([7])
        }
        gateway.backend.handlers["STOR"] = { session, name in
            name == "file" ? session.say("553 No.") : session.receiveFile(name)
        }
        let client = try SimulatedClient(gateway)
        let address = try client.passive()
        let data = try client.dial(address, tls: moment == .beforeCommand || moment == .completeBeforeCommand)
        if moment == .completeBeforeCommand { #expect(client.comesTrue { data.isUp }) }
        client.say("\(verb) file")
        if moment == .afterCommand { data.startTLS(client.settings, resumes: true) }
        try client.expect(verb == "RETR" ? 550 : 553, within: .seconds(1))
        #expect(client.comesTrue(within: .seconds(3)) { data.end != nil })
        #expect(data.end != .closeNotify)
        #expect(try client.retrieve("other") == [7])
        try client.store([8, 9], as: "other")
        #expect(gateway.backend.stored.last?.bytes == [8, 9])
    }

    /// Neither side keeps anything: a thousand refusals do not use up a port.
    @Test func refusalsDoNotUseUpPorts() throws {
        let scene = Scene(seed: 5)
        let gateway = try SimulatedGateway(scene, ports: 50_000...50_000)
        let client = try SimulatedClient(gateway)
        for _ in 0..<50 {
            let address = try client.passive()
            #expect(address.port == 50_000)
            try client.ask("RETR nothing", 550)
        }
        gateway.backend.files["file"] = [1]
        #expect(try client.retrieve("file") == [1])
    }
}
