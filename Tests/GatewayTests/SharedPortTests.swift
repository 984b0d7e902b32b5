import FTPSession
import NetIO
import TLS
import Testing
import Wire

@testable import Gateway

/// One data port for everybody (DESIGN 3.11.3): each gets its own, and strangers get nothing.
struct SharedPortTests {
    struct Crowd: CustomTestStringConvertible, Sendable {
        let version: TLSVersion
        let workers: Int
        let habit: ClientHabit
        var isOneUser = false
        var testDescription: String { "TLS \(version.rawValue), \(workers) workers, \(habit)\(isOneUser ? ", one user" : "")" }
    }

    private static let crowds: [Crowd] =
        TLSVersion.allCases.flatMap { version in
            [1, 2, 3].map { Crowd(version: version, workers: $0, habit: .eachTicketOnce) }
                + [
                    Crowd(version: version, workers: 2, habit: .eachTicketOnce, isOneUser: true),
                    Crowd(version: version, workers: 2, habit: .firstTicketForEver),
                    Crowd(version: version, workers: 2, habit: .neverResumes),
                ]
        } + [Crowd(version: .tls12, workers: 2, habit: .sessionID)]

    @Test(arguments: crowds)
    func aCrowdBehindOneAddressSharesOnePort(_ crowd: Crowd) throws {
        let scene = Scene(seed: 1)
        let gateway = try SimulatedGateway(scene, ports: 50_000...50_000, workers: crowd.workers)
        var fetchers: [Fetcher] = []
        for index in 0..<40 {
            let client = try SimulatedClient(
                gateway, crowd.version, habit: crowd.habit, user: crowd.isOneUser ? "anna" : "user\(index)")
            let files = (0..<4).map { number in
                (name: "file-\(index)-\(number)", bytes: Array("\(index)/\(number):".utf8) + scene.random.bytes(3000))
            }
            for file in files { gateway.backend.files[file.name] = file.bytes }
            fetchers.append(Fetcher(client, files: files, shakesHandsAfter150: index % 2 == 0))
        }
        for fetcher in fetchers { fetcher.start() }
        let isDone = scene.world.run(until: { fetchers.allSatisfy(\.isDone) }, within: .seconds(1000))
        #expect(isDone)
        #expect(fetchers.flatMap(\.failures) == [])
        if crowd.habit != .neverResumes { #expect(fetchers.allSatisfy { $0.resumedCount == 4 }) }
        if crowd.workers > 1 { #expect(gateway.handOvers > 0) }
        #expect(gateway.log.events("data.turned_away") == [])
    }

    /// Some of each, on three ports, from two addresses.
    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func aMixedCrowdGetsItsOwn(_ seed: UInt64) throws {
        let scene = Scene(seed: seed, weather: seed % 2 == 0 ? .foul : .fair)
        let gateway = try SimulatedGateway(scene, ports: 50_000...50_002, workers: 2)
        var fetchers: [Fetcher] = []
        for index in 0..<24 {
            let habit = ClientHabit.allCases[index % 4]
            let client = try SimulatedClient(
                gateway, habit == .sessionID || index % 3 == 0 ? .tls12 : .tls13, habit: habit,
                at: index % 2 == 0 ? IPAddress(198, 51, 100, 7) : IPAddress(203, 0, 113, 9), user: "user\(index % 8)")
            let files = (0..<3).map { number in
                (name: "file-\(index)-\(number)", bytes: Array("\(index)/\(number):".utf8) + scene.random.bytes(20_000))
            }
            for file in files { gateway.backend.files[file.name] = file.bytes }
            fetchers.append(Fetcher(client, files: files, shakesHandsAfter150: index % 5 == 0))
        }
        for fetcher in fetchers { fetcher.start() }
        let isDone = scene.world.run(until: { fetchers.allSatisfy(\.isDone) }, within: .seconds(1000))
        #expect(isDone)
        #expect(fetchers.flatMap(\.failures) == [])
    }

    /// Programs with one TLS cache hand one control connection's sessions to the other's data connections.
    @Test(arguments: TLSVersion.allCases)
    func sessionsThatShareTicketsDoNotGetEachOthersFiles(_ version: TLSVersion) throws {
        let scene = Scene(seed: 3)
        let gateway = try SimulatedGateway(scene, ports: 50_000...50_000, workers: 2)
        let settings = ClientTLSSettings(version, habit: .firstTicketForEver)
        var fetchers: [Fetcher] = []
        for index in 0..<10 {
            let client = try SimulatedClient(gateway, settings: settings, resumes: index > 0, user: "user\(index)")
            let files = (0..<3).map { (name: "file-\(index)-\($0)", bytes: Array("\(index)/\($0)".utf8)) }
            for file in files { gateway.backend.files[file.name] = file.bytes }
            fetchers.append(Fetcher(client, files: files))
        }
        for fetcher in fetchers { fetcher.start() }
        let isDone = scene.world.run(until: { fetchers.allSatisfy(\.isDone) }, within: .seconds(1000))
        #expect(isDone)
        #expect(fetchers.flatMap(\.failures) == [])
    }

    // MARK: - Strangers

    @Test(arguments: [1, 2])
    func aStrangerGetsNothingAndBreaksNothing(_ workers: Int) throws {
        let scene = Scene(seed: 4)
        let gateway = try SimulatedGateway(scene, ports: 50_000...50_000, workers: workers)
        gateway.backend.files["file"] = [1, 2, 3]
        let client = try SimulatedClient(gateway)
        let thief = scene.network.host(IPAddress(203, 0, 113, 66))

        // Before anybody waits, a connection is reset.
        let early = TestPeer(try #require(thief.connected(to: SocketAddress(ip: SimulatedGateway.ip, port: 50_000))))
        #expect(client.comesTrue { early.end == .reset })

        let address = try client.passive()
        client.say("RETR file")
        try client.expect(150)
        // Silent ones, talking ones, and one with TLS of its own, first come.
        let silent = TestPeer(try #require(thief.connected(to: address)))
        let talking = TestPeer(try #require(thief.connected(to: address)))
        talking.sendRaw(Array("GET / HTTP/1.1\r\n\r\n".utf8))
        let shaking = TestPeer(try #require(thief.connected(to: address)))
        shaking.startTLS(ClientTLSSettings(.tls13))
        scene.world.pass(.seconds(1))
        #expect(talking.end == .reset)
        #expect(shaking.end == .reset || shaking.end == .cut)
        let data = try client.dial(address)
        try client.expect(226)
        #expect(client.comesTrue { data.end != nil })
        #expect(data.received == [1, 2, 3])
        #expect(client.comesTrue { silent.end == .reset })
        #expect(silent.received.isEmpty && shaking.received.isEmpty)
        #expect(gateway.log.events("data.turned_away").count >= 4)
    }

    /// Who has seen a ticket pass can repeat it, and cannot use it.
    @Test func aRepeatedTicketOpensNothing() throws {
        let scene = Scene(seed: 5)
        let gateway = try SimulatedGateway(scene, ports: 50_000...50_000)
        gateway.backend.files["file"] = [1, 2, 3]
        let client = try SimulatedClient(gateway)
        let address = try client.passive()
        client.say("RETR file")
        try client.expect(150)
        // The client's own ClientHello, seen on its way.
        let seen = ClientTLS(client.settings, resumes: true)
        #expect(seen.advance())
        let hello = seen.take()
        let thief = TestPeer(try #require(scene.network.host(IPAddress(203, 0, 113, 66)).connected(to: address)))
        thief.sendRaw(hello)
        scene.world.pass(.seconds(1))
        let data = try client.dial(address)
        try client.expect(226)
        #expect(client.comesTrue { data.end != nil })
        #expect(data.received == [1, 2, 3])
        #expect(client.comesTrue { thief.end != nil })
    }

    /// Its control and its data connections have different addresses, as behind large translators; the session proves it.
    @Test(arguments: TLSVersion.allCases)
    func aProvedClientMayComeFromAnotherAddress(_ version: TLSVersion) throws {
        let scene = Scene(seed: 6)
        let gateway = try SimulatedGateway(scene, ports: 50_000...50_000, workers: 2)
        gateway.backend.files["file"] = [1, 2, 3]
        let client = try SimulatedClient(gateway, version)
        let elsewhere = scene.network.host(IPAddress(198, 51, 100, 200))
        for resumes in [true, false] {
            let address = try client.passive()
            client.say("RETR file")
            try client.expect(150)
            let data = TestPeer(try #require(elsewhere.connected(to: address)))
            data.startTLS(client.settings, resumes: resumes)
            if resumes {
                try client.expect(226)
                #expect(client.comesTrue { data.end == .closeNotify })
                #expect(data.received == [1, 2, 3])
            } else {
                #expect(client.comesTrue { data.end != nil })
                #expect(data.received.isEmpty)
                try client.ask("ABOR", 426)
                try client.expect(225)
            }
        }
    }

    // MARK: - Who cannot be told apart

    /// Two that share a port have shown that they resume. When one then does not, nobody can say which it is.
    @Test func aConnectionThatMayBeSeveralsIsTurnedAway() throws {
        let scene = Scene(seed: 7)
        let gateway = try SimulatedGateway(scene, ports: 50_000...50_000)
        gateway.backend.files["file"] = [1, 2, 3]
        let first = try SimulatedClient(gateway, user: "anna")
        let second = try SimulatedClient(gateway, user: "bert")
        #expect(try first.retrieve("file") == [1, 2, 3])
        #expect(try second.retrieve("file") == [1, 2, 3])
        let (one, two) = (try first.passive(), try second.passive())
        #expect(one.port == two.port)
        first.say("RETR file")
        try first.expect(150)
        let data = try first.dial(one, resumes: false)
        #expect(first.comesTrue { data.end != nil })
        #expect(data.received.isEmpty)
        #expect(gateway.log.last("data.turned_away").contains("reason=ambiguous"))
        let answer = try first.expect(425, within: .seconds(11))
        #expect(answer.text.contains("not resumed"))
        #expect(gateway.log.last("transfer").contains("reason=data_session_ambiguous"))
        // The other one has lost nothing.
        second.say("RETR file")
        let good = try second.dial(two)
        try second.expect(150)
        try second.expect(226)
        #expect(good.received == [1, 2, 3])
        // And the first is alone now: then its address is enough.
        let again = try first.passive()
        first.say("RETR file")
        let fresh = try first.dial(again, resumes: false)
        try first.expect(150)
        try first.expect(226)
        #expect(fresh.received == [1, 2, 3])
    }

    @Test func inTheClearTheyWaitInTurn() throws {
        let scene = Scene(seed: 8)
        let gateway = try SimulatedGateway(scene, ports: 50_000...50_000, workers: 2) { $0.session.dataTLS = .optional }
        let clients = try (0..<4).map { try SimulatedClient(gateway, user: "user\($0)") }
        for (index, client) in clients.enumerated() {
            try client.ask("PROT C", 200)
            gateway.backend.files["file\(index)"] = [UInt8(index)]
            client.say("EPSV")
        }
        for (index, client) in clients.enumerated() {
            // The next one's 229 comes when the one before has its connection.
            if index + 1 < clients.count { #expect(clients[index + 1].isSilent(for: .seconds(1))) }
            try client.expect(229)
            client.say("RETR file\(index)")
            let data = try client.dial(SocketAddress(ip: SimulatedGateway.ip, port: 50_000), tls: false)
            try client.expect(150)
            try client.expect(226)
            #expect(data.received == [UInt8(index)])
        }
    }

    @Test func waitingForAPortHasAnEnd() throws {
        let scene = Scene(seed: 9)
        let gateway = try SimulatedGateway(scene, ports: 50_000...50_000) { $0.timeouts.idle = .seconds(3600) }
        let clients = try (0..<3).map { _ in try SimulatedClient(gateway) }
        // One user: they wait in turn, and each promise lasts for as long as the data timeout.
        _ = try clients[0].passive()
        scene.world.pass(.seconds(10))
        clients[1].say("EPSV")
        scene.world.pass(.seconds(10))
        clients[2].say("EPSV")
        #expect(clients[2].isSilent(for: .seconds(290)))
        try clients[1].expect(229)
        let answer = try clients[2].expect(425, within: .seconds(20))
        #expect(answer.text.contains("No passive port is free"))
        #expect(!gateway.log.events("passive_ports.exhausted").isEmpty)
        #expect(gateway.log.last("command.refused").contains("reason=ports_exhausted"))
        try clients[2].ask("PWD", 257)
    }

    @Test func aPromiseThatIsNotKeptGivesThePortBack() throws {
        let scene = Scene(seed: 10)
        let gateway = try SimulatedGateway(scene, ports: 50_000...50_000)
        gateway.backend.files["file"] = [5]
        let idle = try SimulatedClient(gateway)
        _ = try idle.passive()
        let client = try SimulatedClient(gateway)
        client.say("EPSV")
        #expect(client.isSilent(for: .seconds(1)))
        idle.control.close()
        try client.expect(229, within: .seconds(1))
    }
}
