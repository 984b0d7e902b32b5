import FTPSession
import NetIO
import TLS
import Testing
import Wire

@testable import Gateway

/// ABOR while data move, whatever the client's windows look like (PROTOCOL 5.4, D11).
struct AbortTests {
    @Test(arguments: [["426 Aborted.", "226 Done."], ["226 Done."], ["225 Nothing."]], [false, true])
    func aDownloadThatNobodyReadsIsAborted(_ replies: [String], _ isTelnet: Bool) throws {
        let scene = Scene(seed: 1)
        let gateway = try SimulatedGateway(scene)
        var endAtBackend: TestPeer.End?
        gateway.backend.files["file"] = scene.random.bytes(10_000_000)
        gateway.backend.handlers["RETR"] = { session, name in
            session.say("150 Here it comes.")
            session.withData { data in
                data.onReceive = { endAtBackend = data.end }
                data.send(gateway.backend.files[name]!)
            }
        }
        gateway.backend.handlers["ABOR"] = { session, _ in for reply in replies { session.say(reply) } }
        let client = try SimulatedClient(gateway)
        let data = try client.dial(client.passive())
        client.say("RETR file")
        try client.expect(150)
        #expect(client.comesTrue { data.received.count > 10_000 })
        data.isReading = false
        scene.world.pass(.seconds(20))
        client.control.send((isTelnet ? [255, 244, 255, 242] : []) + Array("ABOR\r\n".utf8))
        for reply in replies { #expect(try client.expect(Int(reply.prefix(3))!, within: .seconds(1)).description == reply) }
        try client.ask("PWD", 257)
        data.isReading = true
        #expect(client.comesTrue { data.end != nil })
        #expect(data.end == .reset)
        #expect(client.comesTrue { endAtBackend != nil })
        #expect(endAtBackend == .reset)
        gateway.backend.handlers["RETR"] = { session, _ in session.sendFile([1]) }
        #expect(try client.retrieve("next") == [1])
    }

    @Test func anUploadIsAbortedAndLeavesNoWholeFile() throws {
        let scene = Scene(seed: 2)
        let gateway = try SimulatedGateway(scene)
        let client = try SimulatedClient(gateway)
        let data = try client.dial(client.passive())
        client.say("STOR file")
        try client.expect(150)
        #expect(client.comesTrue { data.isUp })
        data.send(scene.random.bytes(200_000))
        scene.world.pass(.milliseconds(50))
        try client.ask("ABOR", 426)
        try client.expect(226)
        try client.ask("PWD", 257)
        #expect(client.comesTrue { data.end != nil })
        #expect(gateway.backend.stored.allSatisfy { $0.end == .reset })
    }

    @Test func aBackendThatIgnoresABORIsFoundAgain() throws {
        let scene = Scene(seed: 3)
        let gateway = try SimulatedGateway(scene)
        var endAtBackend: TestPeer.End?
        gateway.backend.handlers["RETR"] = { session, _ in
            session.say("150 Here it comes.")
            session.withData { data in
                data.onReceive = { endAtBackend = data.end }
                data.send(scene.random.bytes(10_000_000))
            }
        }
        gateway.backend.handlers["ABOR"] = { _, _ in }
        let client = try SimulatedClient(gateway)
        let data = try client.dial(client.passive())
        client.say("RETR file")
        try client.expect(150)
        #expect(client.comesTrue { data.received.count > 10_000 })
        client.say("ABOR")
        try client.expect(426, within: .seconds(11))
        try client.expect(226, within: .seconds(1))
        #expect(endAtBackend == .reset)
        try client.ask("PWD", 257)
        #expect(gateway.backend.commands.suffix(3) == ["ABOR", "NOOP", "PWD"])
    }

    @Test func anABORBeforeTheConnectionIsThere() throws {
        let scene = Scene(seed: 4)
        let gateway = try SimulatedGateway(scene)
        gateway.backend.handlers["RETR"] = { session, _ in session.say("150 Here it comes.") }
        let client = try SimulatedClient(gateway)
        _ = try client.passive()
        client.say("RETR file")
        try client.expect(150)
        try client.ask("ABOR", 426)
        try client.expect(226)
        gateway.backend.handlers["RETR"] = { session, _ in session.sendFile([1, 2, 3]) }
        #expect(try client.retrieve("file") == [1, 2, 3])
    }

    @Test func othersWaitTheirTurnAndSTATAndNOOPDoNot() throws {
        let scene = Scene(seed: 5)
        let gateway = try SimulatedGateway(scene)
        gateway.backend.handlers["RETR"] = { session, _ in
            session.say("150 Here it comes.")
            session.withData { data in
                data.send([1])
                session.world.after(.seconds(5)) {
                    data.close()
                    session.say("226 Done.")
                }
            }
        }
        let client = try SimulatedClient(gateway)
        let data = try client.dial(client.passive())
        client.say("RETR file")
        try client.expect(150)
        client.say("PWD")
        client.say("QUIT")
        try client.ask("NOOP", 200, within: .seconds(1))
        try client.ask("STAT", 211, within: .seconds(1))
        try client.expect(226)
        try client.expect(257)
        try client.expect(221)
        #expect(data.received == [1])
    }
}
