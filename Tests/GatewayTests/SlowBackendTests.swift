import FTPSession
import NetIO
import Testing
import Wire

@testable import Gateway

/// Backends that take their time, in time that costs none (PROTOCOL 2, 5.2, 7, 8).
struct SlowBackendTests {
    @Test(arguments: [20, 34])
    func aGreetingIsWaitedFor(seconds: Int) throws {
        let scene = Scene(seed: 1)
        let gateway = try SimulatedGateway(scene)
        gateway.backend.greeting = "120 In a moment."
        let client = try SimulatedClient(gateway, logsIn: false)
        client.say("USER anna")
        #expect(client.comesTrue { !gateway.backend.sessions.isEmpty })
        #expect(client.isSilent(for: .seconds(seconds - 1)))
        #expect(gateway.backend.commands.isEmpty, "nothing is sent to a backend that has not greeted")
        gateway.backend.sessions[0].say("220 At last.")
        try client.expect(331, within: .seconds(2))
        try client.ask("PASS secret", 230)
    }

    @Test func aGreetingThatNeverComesIs421() throws {
        let scene = Scene(seed: 2)
        let gateway = try SimulatedGateway(scene)
        gateway.backend.greeting = "120 In a moment."
        let client = try SimulatedClient(gateway, logsIn: false)
        client.say("USER anna")
        let answer = try client.expect(421, within: .seconds(40))
        #expect(answer.text == "Backend did not greet.")
        #expect(gateway.log.last("session.closed").contains("reason=backend_greeting_timeout"))
    }

    /// D10: slow disks keep the 226 for minutes, longer than a session may be idle.
    @Test(arguments: [60, 299])
    func the226MayComeLongAfterTheData(seconds: Int) throws {
        let scene = Scene(seed: 3)
        let gateway = try SimulatedGateway(scene) { $0.timeouts.idle = .seconds(30) }
        gateway.backend.handlers["RETR"] = { session, _ in
            session.say("150 Here it comes.")
            session.withData { data in
                data.send([1, 2, 3])
                data.close()
                session.world.after(.seconds(seconds)) { session.say("226 At last.") }
            }
        }
        let client = try SimulatedClient(gateway)
        let address = try client.passive()
        client.say("RETR file")
        let data = try client.dial(address)
        try client.expect(150)
        #expect(client.comesTrue(within: .seconds(5)) { data.end == .closeNotify })
        data.sendCloseNotify()
        data.close()
        #expect(client.isSilent(for: .seconds(seconds - 5)))
        try client.expect(226, within: .seconds(10))
        try client.ask("PWD", 257)
    }

    /// Some wait two seconds for the data connection: it is there before the client is told that it may begin.
    @Test(arguments: ["PASV", "EPSV"])
    func aBackendThatGivesUpAfterTwoSecondsIsConnectedToAtOnce(verb: String) throws {
        let scene = Scene(seed: 4)
        let gateway = try SimulatedGateway(scene)
        gateway.backend.files["file"] = [1, 2, 3]
        let usual = try #require(gateway.backend.handlers[verb])
        gateway.backend.handlers[verb] = { session, argument in
            usual(session, argument)
            session.world.after(.seconds(2)) { if session.data == nil { session.forgetData() } }
        }
        let client = try SimulatedClient(gateway)
        let address = try client.passive(verb)
        scene.world.pass(.seconds(60))
        client.say("RETR file")
        let data = try client.dial(address)
        try client.expect(150)
        #expect(client.comesTrue { data.end == .closeNotify })
        #expect(data.take() == [1, 2, 3])
        data.close()
        try client.expect(226)
    }

    /// The idle clock stands still while data move, however slowly (L3).
    @Test func aTransferMayTakeLongerThanASessionMayBeIdle() throws {
        let scene = Scene(seed: 5)
        let gateway = try SimulatedGateway(scene)
        gateway.backend.handlers["RETR"] = { session, _ in
            session.say("150 Here it comes.")
            session.withData { data in
                for minute in 0..<20 { session.world.after(.seconds(60 * minute)) { data.send([UInt8(minute)]) } }
                session.world.after(.seconds(1200)) {
                    data.close()
                    session.say("226 Done.")
                }
            }
        }
        let client = try SimulatedClient(gateway)
        let address = try client.passive()
        client.say("RETR file")
        let data = try client.dial(address)
        try client.expect(150)
        #expect(client.comesTrue(within: .seconds(1300)) { data.end == .closeNotify })
        #expect(data.take() == (0..<20).map { UInt8($0) })
        data.close()
        try client.expect(226)
    }
}
