import FTPSession
import NetIO
import TLS
import Testing
import Wire

@testable import Gateway

/// An upload is complete only if the client said so (PROTOCOL 5.3): whatever else happened must look broken to both sides.
struct UploadTruncationTests {
    /// Logs in, and begins an upload whose data connection is up.
    private func upload(
        _ client: SimulatedClient, tls: Bool = true, as name: String = "file"
    ) throws -> TestPeer {
        let address = try client.passive()
        client.say("STOR \(name)")
        let data = try client.dial(address, tls: tls)
        try client.expect(150)
        try #require(client.comesTrue { data.isUp })
        // The end of the handshake has arrived: from here on it is the upload that is cut.
        client.gateway.scene.world.pass(.milliseconds(5))
        return data
    }

    @Test(arguments: TLSVersion.allCases, [false, true])
    func aCutAtAnyOffsetIsNeverComplete(_ version: TLSVersion, _ isReset: Bool) throws {
        let scene = Scene(seed: 1)
        let gateway = try SimulatedGateway(scene)
        let client = try SimulatedClient(gateway, version)
        let payload = scene.random.bytes(60)
        var offset = 0
        while true {
            let data = try upload(client)
            let records = data.records(of: payload, recordSize: 25, closeNotify: true)
            guard offset < records.count else { break }
            var boundaries: Set<Int> = [0]
            var end = 0
            while end + 5 <= records.count {
                end += 5 + Int(records[end + 3]) << 8 + Int(records[end + 4])
                boundaries.insert(end)
            }
            data.sendRaw(Array(records[..<offset]))
            isReset ? data.reset() : data.finish()
            let answer = try client.expect(426)
            #expect(answer.text.contains("close_notify"))
            // The flag is named where it would help.
            let isForgivable = !isReset && boundaries.contains(offset)
            #expect(answer.text.contains("--upload-eof") == isForgivable)
            // Commands go on where the backend's conversation stands.
            try client.ask("PWD", 257)
            let stored = try #require(gateway.backend.stored.last)
            #expect(stored.end == .reset)
            #expect(payload.starts(with: stored.bytes))
            #expect(gateway.backend.commands.suffix(2) == ["ABOR", "PWD"])
            let reason = isReset ? "upload_reset" : isForgivable ? "upload_truncated" : "upload_cut"
            #expect(gateway.log.last("transfer").contains("reason=\(reason)"))
            offset += 1
        }
        #expect(offset > 100)
        #expect(gateway.backend.stored.count == offset)
    }

    /// Such backends take any end for the whole file; the gateway's word is what counts then.
    @Test(arguments: TLSVersion.allCases)
    func aBackendThatKeepsACutFileDoesNotMakeItWhole(_ version: TLSVersion) throws {
        let scene = Scene(seed: 2)
        let gateway = try SimulatedGateway(scene)
        gateway.backend.handlers["STOR"] = { session, name in
            session.receiveFile(name) { session, _ in session.say("226 Stored.") }
        }
        gateway.backend.handlers["ABOR"] = { session, _ in session.say("226 Nothing to abort.") }
        let client = try SimulatedClient(gateway, version)
        for _ in 0..<3 {
            let data = try upload(client)
            data.send([1, 2, 3])
            data.finish()
            try client.expect(426)
            try client.ask("PWD", 257)
        }
        #expect(gateway.log.last("backend.may_have_kept_upload").hasSuffix("bytes=3"))
        #expect(gateway.log.events("backend.may_have_kept_upload").count == 3)
    }

    /// Bytes that the client does not read yet must not turn its end into a reset.
    @Test(arguments: TLSVersion.allCases, [0, 1, 16_384, 500_000])
    func aClientThatClosesAtOnceAndNeverReadsLosesNothing(_ version: TLSVersion, _ size: Int) throws {
        for seed in 1...5 as ClosedRange<UInt64> {
            let scene = Scene(seed: seed, weather: seed % 2 == 0 ? .foul : .fair)
            let gateway = try SimulatedGateway(scene)
            let client = try SimulatedClient(gateway, version)
            let payload = scene.random.bytes(size)
            let data = try upload(client)
            data.isReading = false
            data.send(payload)
            data.sendCloseNotify()
            data.close()
            try client.expect(226)
            #expect(gateway.backend.stored.last == .init(name: "file", bytes: payload, end: .fin))
            #expect(!data.transport.end.wasReset)
        }
    }

    @Test(arguments: TLSVersion.allCases)
    func aResetBehindCloseNotifyIsComplete(_ version: TLSVersion) throws {
        let scene = Scene(seed: 3)
        let gateway = try SimulatedGateway(scene)
        let client = try SimulatedClient(gateway, version)
        let data = try upload(client)
        data.send([1, 2, 3])
        data.sendCloseNotify()
        scene.world.pass(.milliseconds(1))
        data.reset()
        try client.expect(226)
        #expect(gateway.backend.stored.last?.bytes == [1, 2, 3])
    }

    @Test(arguments: TLSVersion.allCases)
    func lenientForgivesAFINAtARecordBoundaryAndNothingElse(_ version: TLSVersion) throws {
        let scene = Scene(seed: 4)
        let gateway = try SimulatedGateway(scene) { $0.session.uploadEOF = .lenient([]) }
        let client = try SimulatedClient(gateway, version)
        let payload = scene.random.bytes(100)

        for size in [0, 100] {
            let whole = try upload(client)
            whole.send(Array(payload.prefix(size)), recordSize: 30)
            whole.finish()
            try client.expect(226)
            #expect(gateway.backend.stored.last == .init(name: "file", bytes: Array(payload.prefix(size)), end: .fin))
        }
        #expect(gateway.log.events("upload.forgiven").count == 2)
        let cut = try upload(client)
        cut.sendRaw(Array(cut.records(of: payload, recordSize: 30).dropLast()))
        cut.finish()
        try client.expect(426)
        #expect(gateway.backend.stored.last?.end == .reset)

        let reset = try upload(client)
        reset.send(payload, recordSize: 30)
        scene.world.pass(.milliseconds(10))
        reset.reset()
        try client.expect(426)
        #expect(gateway.backend.stored.last?.end == .reset)
        #expect(gateway.log.events("upload.forgiven").count == 2)
        try client.ask("PWD", 257)
    }

    @Test func lenientIsForItsNetworksOnly() throws {
        let scene = Scene(seed: 5)
        let network = try #require(CIDRBlock("198.51.100.0/24"))
        let gateway = try SimulatedGateway(scene) { $0.session.uploadEOF = .lenient([network]) }
        for (ip, code) in [(IPAddress(198, 51, 100, 7), 226), (IPAddress(203, 0, 113, 7), 426)] {
            let client = try SimulatedClient(gateway, at: ip)
            let data = try upload(client)
            data.send([1])
            data.finish()
            try client.expect(code)
        }
    }

    /// In the clear a FIN is all that a client can say.
    @Test func inTheClearAFINIsTheEndAndAResetIsNone() throws {
        let scene = Scene(seed: 6)
        let gateway = try SimulatedGateway(scene) { $0.session.dataTLS = .optional }
        let client = try SimulatedClient(gateway)
        try client.ask("PROT C", 200)
        for size in [0, 70_000] {
            let payload = scene.random.bytes(size)
            let data = try upload(client, tls: false)
            data.send(payload)
            data.finish()
            try client.expect(226)
            #expect(gateway.backend.stored.last == .init(name: "file", bytes: payload, end: .fin))
        }
        let data = try upload(client, tls: false)
        data.send([1])
        scene.world.pass(.milliseconds(10))
        data.reset()
        let answer = try client.expect(426)
        #expect(!answer.text.contains("close_notify"))
        #expect(gateway.backend.stored.last?.end == .reset)
        try client.ask("PWD", 257)
    }

    @Test(arguments: [false, true])
    func aControlConnectionThatDiesFirstLeavesNoWholeFile(_ isReset: Bool) throws {
        let scene = Scene(seed: 7)
        let gateway = try SimulatedGateway(scene)
        let client = try SimulatedClient(gateway)
        let data = try upload(client)
        data.send(scene.random.bytes(50_000))
        scene.world.pass(.milliseconds(20))
        isReset ? client.control.reset() : client.control.close()
        scene.world.pass(.seconds(3))
        data.sendCloseNotify()
        data.close()
        #expect(client.comesTrue { !gateway.backend.stored.isEmpty })
        #expect(gateway.backend.stored.map(\.end) == [.reset])
        #expect(client.comesTrue { gateway.backend.sessions[0].peer.end != nil })
        #expect(client.comesTrue { gateway.sessions.isEmpty })
    }

    @Test func aBackendThatStopsIsHeardAtOnce() throws {
        for (size, closes) in [(10, true), (3_000_000, true), (3_000_000, false)] {
            let scene = Scene(seed: 8)
            let gateway = try SimulatedGateway(scene)
            gateway.backend.handlers["STOR"] = { session, _ in
                session.say("150 Send it.")
                session.withData { data in
                    session.world.after(.milliseconds(5)) {
                        session.say("552 Disk full.")
                        if closes { data.close() } else { data.isReading = false }
                    }
                }
            }
            let client = try SimulatedClient(gateway)
            let data = try upload(client)
            data.transport.end.losesUnreadOnReset = true
            data.send(scene.random.bytes(size))
            #expect(try client.expect(552, within: .seconds(5)).text == "Disk full.")
            try client.ask("PWD", 257)
            #expect(client.comesTrue { data.end != nil })
        }
    }

    @Test func aFinalRefusalAfterAllBytesPasses() throws {
        let scene = Scene(seed: 9)
        let gateway = try SimulatedGateway(scene)
        gateway.backend.handlers["STOR"] = { session, name in
            session.receiveFile(name) { session, _ in session.say("550 Virus found.") }
        }
        let client = try SimulatedClient(gateway)
        let data = try upload(client)
        data.send([1, 2, 3])
        data.sendCloseNotify()
        data.close()
        #expect(try client.expect(550).text == "Virus found.")
        try client.ask("PWD", 257)
    }

    @Test(arguments: TLSVersion.allCases)
    func aBackendThatBreaksOffIsTold(_ version: TLSVersion) throws {
        for final in [nil, "226 Stored.", "426 Broken."] {
            let scene = Scene(seed: 10)
            let gateway = try SimulatedGateway(scene)
            gateway.backend.handlers["STOR"] = { session, _ in
                session.say("150 Send it.")
                session.withData { data in
                    session.world.after(.milliseconds(5)) {
                        data.reset()
                        if let final { session.say(final) }
                    }
                }
            }
            let client = try SimulatedClient(gateway, version)
            let data = try upload(client)
            data.send(scene.random.bytes(300_000))
            try client.expect(final == "426 Broken." ? 426 : 451)
            try client.ask("PWD", 257)
            #expect(client.comesTrue { data.end != nil })
        }
    }
}
