import FTPSession
import NetIO
import TLS
import Testing
import Wire

@testable import Gateway

/// A client that fails on the data connection must not have emptied the old file at the backend (DESIGN 3.11.8, D18).
struct VerifyBeforeStoreTests {
    private func gateway(_ scene: Scene, _ choice: SessionPolicy.VerifyBeforeStore) throws -> SimulatedGateway {
        try SimulatedGateway(scene) {
            $0.session.verifyBeforeStore = choice
            $0.dataSession = .require
        }
    }

    private func storesSeen(_ gateway: SimulatedGateway) -> [String] {
        gateway.backend.commands.filter { ["STOR", "APPE", "STOU"].contains($0.prefix(4)) }
    }

    @Test(arguments: ["STOR file", "APPE file"])
    func alwaysTheBackendHearsNothingBeforeTheClientIsJudged(_ command: String) throws {
        let scene = Scene(seed: 1)
        let gateway = try gateway(scene, .always)
        let client = try SimulatedClient(gateway)

        // A client that cannot be let in.
        let stranger = ClientTLSSettings(.tls13, habit: .neverResumes)
        var data = try client.dial(client.passive(), tls: false)
        client.say(command)
        #expect(try client.expect(150).text == "Ready for the data connection.")
        data.startTLS(stranger)
        try client.expect(522)
        #expect(storesSeen(gateway).isEmpty)

        // One that leaves.
        data = try client.dial(client.passive(), tls: false)
        client.say(command)
        try client.expect(150)
        data.close()
        try client.expect(425)
        #expect(storesSeen(gateway).isEmpty)

        // One that never comes.
        _ = try client.passive()
        client.say(command)
        try client.expect(150)
        try client.expect(425, within: .seconds(400))
        #expect(storesSeen(gateway).isEmpty)
        #expect(gateway.log.last("transfer").contains("reason=client_never_connected"))

        // And one that is good: the backend's own 150 is swallowed.
        data = try client.dial(client.passive(), tls: false)
        client.say(command)
        try client.expect(150)
        data.startTLS(client.settings, resumes: true)
        #expect(client.comesTrue { data.isUp })
        data.send([1, 2, 3])
        data.sendCloseNotify()
        data.close()
        try client.expect(226)
        #expect(gateway.backend.stored.map(\.bytes) == [[1, 2, 3]])
    }

    @Test func alwaysTheBackendsRefusalComesAfterOur150() throws {
        let scene = Scene(seed: 2)
        let gateway = try gateway(scene, .always)
        gateway.backend.handlers["STOR"] = { session, _ in session.say("553 Not here.") }
        let client = try SimulatedClient(gateway)
        let data = try client.dial(client.passive())
        data.transport.end.losesUnreadOnReset = true
        client.say("STOR file")
        try client.expect(150)
        data.send(scene.random.bytes(500_000))
        #expect(try client.expect(553).text == "Not here.")
        #expect(client.comesTrue(within: .seconds(5)) { data.tcpEnd != nil })
        try client.ask("PWD", 257)
    }

    /// The 150 to STOU carries the name: it cannot be ours.
    @Test func neverForSTOU() throws {
        let scene = Scene(seed: 3)
        let gateway = try gateway(scene, .always)
        let client = try SimulatedClient(gateway)
        let address = try client.passive()
        client.say("STOU")
        #expect(try client.expect(150).text == "FILE: unique.1")
        let data = try client.dial(address)
        #expect(client.comesTrue { data.isUp })
        data.sendCloseNotify()
        data.close()
        try client.expect(226)
    }

    @Test func autoJudgesAHandshakeThatHasBegunAndWaitsForNoneElse() throws {
        let scene = Scene(seed: 4)
        let gateway = try gateway(scene, .auto)
        let client = try SimulatedClient(gateway)

        // Begun, and bad: the command never leaves.
        let stranger = ClientTLSSettings(.tls13, habit: .neverResumes)
        let address = try client.passive()
        let data = try client.dial(address, tls: false)
        data.startTLS(stranger)
        client.say("STOR file")
        try client.expect(522)
        #expect(storesSeen(gateway).isEmpty)

        // Not begun: the command goes at once.
        _ = try client.passive()
        client.say("STOR file")
        try client.expect(150)
        #expect(storesSeen(gateway) == ["STOR file"])
        try client.ask("ABOR", 426)
        try client.expect(226)

        // Begun and good.
        try client.store([5], as: "good")
        #expect(gateway.backend.stored.last?.bytes == [5])
    }

    @Test func alwaysWithAnActiveClientDialsBeforeTheCommand() throws {
        let scene = Scene(seed: 5)
        let gateway = try SimulatedGateway(scene) { $0.session.verifyBeforeStore = .always }
        let client = try SimulatedClient(gateway)
        let (peer, send) = try client.listen()
        try client.ask(send, 200)
        client.say("STOR file")
        try client.expect(150)
        #expect(client.comesTrue { peer() != nil })
        #expect(storesSeen(gateway).isEmpty)
        let data = try #require(peer())
        data.startTLS(client.settings, resumes: true)
        #expect(client.comesTrue { data.isUp })
        data.send([4, 4])
        data.sendCloseNotify()
        data.close()
        try client.expect(226)
        #expect(gateway.backend.stored.map(\.bytes) == [[4, 4]])
    }

    @Test func aVerificationCanBeAborted() throws {
        let scene = Scene(seed: 6)
        let gateway = try gateway(scene, .always)
        let client = try SimulatedClient(gateway)
        _ = try client.passive()
        client.say("STOR file")
        try client.expect(150)
        try client.ask("NOOP", 200)
        try client.ask("ABOR", 426)
        try client.expect(226)
        #expect(storesSeen(gateway).isEmpty)
        try client.store([1], as: "file")
    }
}
