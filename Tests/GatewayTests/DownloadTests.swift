import FTPSession
import NetIO
import TLS
import Testing
import Wire

@testable import Gateway

/// The end of a download: said when it is true, in the right order, and never said of a broken one (PROTOCOL 5.2).
struct DownloadTests {
    private func download(_ client: SimulatedClient, tls: Bool = true) throws -> TestPeer {
        let address = try client.passive()
        client.say("RETR file")
        let data = try client.dial(address, tls: tls)
        data.transport.end.losesUnreadOnReset = true
        try client.expect(150)
        return data
    }

    @Test(arguments: TLSVersion.allCases)
    func aBackendThatResetsAtAnyOffsetLooksBroken(_ version: TLSVersion) throws {
        for (offset, final) in [(0, nil), (1, "226 Done."), (16_384, "426 Broken."), (200_000, "451 Disk."), (70_000, nil)] {
            let scene = Scene(seed: UInt64(offset))
            let gateway = try SimulatedGateway(scene)
            let payload = scene.random.bytes(offset)
            gateway.backend.handlers["RETR"] = { session, _ in
                session.say("150 Here it comes.")
                session.withData { data in
                    data.send(payload)
                    data.whenSent {
                        session.world.after(.seconds(1)) {
                            data.reset()
                            if let final { session.say(final) }
                        }
                    }
                }
            }
            let client = try SimulatedClient(gateway, version)
            let data = try download(client)
            let answer = try #require(client.answer())
            // The backend's own word passes, but for a 2yz after its reset.
            #expect(answer.code == (final?.hasPrefix("4") == true ? Int(final!.prefix(3))! : 451))
            #expect(client.comesTrue { data.end != nil })
            #expect(data.end == .reset)
            #expect(payload.starts(with: data.received))
            try client.ask("PWD", 257)
            #expect(gateway.log.last("transfer").contains("reason=backend_broke_off"))
        }
    }

    @Test(arguments: TLSVersion.allCases)
    func theFinalReplyWaitsForTheLastByteWhateverComesFirst(_ version: TLSVersion) throws {
        for isFinalFirst in [true, false] {
            let scene = Scene(seed: 2)
            let gateway = try SimulatedGateway(scene)
            let payload = scene.random.bytes(900_000)
            gateway.backend.handlers["RETR"] = { session, _ in
                session.say("150 Here it comes.")
                if isFinalFirst { session.say("226 Done.") }
                session.withData { data in
                    data.send(payload)
                    data.close()
                    data.whenSent { if !isFinalFirst { session.say("226 Done.") } }
                }
            }
            let client = try SimulatedClient(gateway, version)
            let data = try download(client)
            #expect(client.comesTrue { data.received.count > 1000 })
            data.isReading = false
            // As long as bytes are with the gateway, nothing is said; what the kernels hold is out.
            #expect(client.isSilent(for: .seconds(20)))
            data.isReading = true
            try client.expect(226)
            #expect(client.comesTrue { data.end != nil })
            #expect(data.end == .closeNotify)
            #expect(data.received == payload)
        }
    }

    @Test(arguments: [60, 290])
    func aFinalReplyMayComeLate(_ seconds: Int) throws {
        let scene = Scene(seed: 3)
        let gateway = try SimulatedGateway(scene) { $0.timeouts.idle = .seconds(30) }
        gateway.backend.handlers["RETR"] = { session, _ in
            session.say("150 Here it comes.")
            session.withData { data in
                data.send([1])
                data.close()
                session.world.after(.seconds(seconds)) { session.say("226 Done.") }
            }
        }
        gateway.backend.handlers["STOR"] = { session, name in
            session.receiveFile(name) { session, _ in session.world.after(.seconds(seconds)) { session.say("226 Stored.") } }
        }
        let client = try SimulatedClient(gateway)
        let data = try download(client)
        #expect(client.comesTrue(within: .seconds(1)) { data.end == .closeNotify })
        #expect(client.isSilent(for: .seconds(seconds - 2)))
        try client.expect(226)

        let address = try client.passive()
        client.say("STOR file")
        let upload = try client.dial(address)
        try client.expect(150)
        #expect(client.comesTrue { upload.isUp })
        upload.send([1, 2])
        upload.sendCloseNotify()
        upload.close()
        #expect(client.isSilent(for: .seconds(seconds - 2)))
        try client.expect(226)
    }

    @Test func aFinalReplyThatNeverComesEndsTheSession() throws {
        let scene = Scene(seed: 4)
        let gateway = try SimulatedGateway(scene)
        gateway.backend.handlers["RETR"] = { session, _ in
            session.say("150 Here it comes.")
            session.withData { $0.close() }
        }
        let client = try SimulatedClient(gateway)
        _ = try download(client)
        try client.expect(421, within: .seconds(400))
        #expect(client.comesTrue { gateway.sessions.isEmpty })
        #expect(gateway.log.last("session.closed").contains("reason=backend_reply_timeout"))
    }

    @Test func otherCodesMeanTheSame() throws {
        let scene = Scene(seed: 5)
        let gateway = try SimulatedGateway(scene)
        gateway.backend.handlers["RETR"] = { session, name in
            session.sendFile([7, 8], preliminary: "125 Already open.", final: "250 Fine.")
        }
        let client = try SimulatedClient(gateway)
        let address = try client.passive()
        client.say("RETR file")
        let data = try client.dial(address)
        try client.expect(125)
        try client.expect(250)
        #expect(data.received == [7, 8])
        #expect(data.end == .closeNotify)

        // No 1yz at all.
        gateway.backend.handlers["RETR"] = { session, _ in
            session.withData { data in
                data.send([9])
                data.close()
                session.say("226 Done.")
            }
        }
        let next = try client.dial(client.passive())
        client.say("RETR file")
        try client.expect(226)
        #expect(client.comesTrue { next.end != nil })
        #expect(next.received == [9])
    }

    @Test func anEmptyListingEndsInOrder() throws {
        let scene = Scene(seed: 6)
        let gateway = try SimulatedGateway(scene)
        for verb in ["LIST", "NLST", "MLSD"] { gateway.backend.handlers[verb] = { session, _ in session.sendFile([]) } }
        for version in TLSVersion.allCases {
            let client = try SimulatedClient(gateway, version)
            for verb in ["LIST", "NLST", "MLSD"] {
                let address = try client.passive()
                client.say(verb)
                let data = try client.dial(address)
                try client.expect(150)
                try client.expect(226)
                #expect(client.comesTrue { data.tcpEnd != nil })
                #expect(data.end == .closeNotify)
                #expect(data.tcpEnd == .fin)
                #expect(data.received.isEmpty)
            }
        }
    }

    /// Its own close_notify is not waited for longer than the linger's two seconds.
    @Test func aClientThatNeverAnswersCloseNotifyHoldsNothingUp() throws {
        let scene = Scene(seed: 7)
        let gateway = try SimulatedGateway(scene)
        gateway.backend.files["file"] = [1, 2, 3]
        let client = try SimulatedClient(gateway)
        let data = try download(client)
        try client.expect(226, within: .seconds(1))
        #expect(client.comesTrue { data.end == .closeNotify })
        scene.world.pass(.seconds(3))
        #expect(data.transport.end.isPeerGone)
    }

    /// What the client still sends must not make a RST that destroys the tail.
    @Test func bytesFromTheClientDoNotDestroyTheTail() throws {
        let scene = Scene(seed: 8)
        let gateway = try SimulatedGateway(scene)
        let payload = scene.random.bytes(200_000)
        gateway.backend.files["file"] = payload
        let client = try SimulatedClient(gateway)
        let data = try download(client)
        #expect(client.comesTrue { data.received.count > 100 })
        data.isReading = false
        data.send([1, 2, 3])
        scene.world.pass(.seconds(1))
        data.isReading = true
        try client.expect(226)
        #expect(client.comesTrue { data.end != nil })
        #expect(data.end == .closeNotify)
        #expect(data.received == payload)
    }

    @Test(arguments: TLSVersion.allCases)
    func aClientThatLeavesEarlyIsNotToldThatAllIsWell(_ version: TLSVersion) throws {
        for (isReset, saysGoodbye) in [(true, false), (false, true), (false, false)] {
            let scene = Scene(seed: 9)
            let gateway = try SimulatedGateway(scene)
            gateway.backend.files["file"] = scene.random.bytes(5_000_000)
            var endAtBackend: TestPeer.End?
            gateway.backend.handlers["RETR"] = { session, name in
                session.say("150 Here it comes.")
                session.withData { data in
                    data.onReceive = { endAtBackend = data.end }
                    data.send(gateway.backend.files["file"]!)
                    data.whenSent { session.say("226 Done.") }
                }
            }
            let client = try SimulatedClient(gateway, version)
            let data = try download(client)
            #expect(client.comesTrue { data.received.count > 100_000 })
            if saysGoodbye { data.sendCloseNotify() }
            isReset ? data.reset() : data.close()
            let answer = try client.expect(426)
            #expect(answer.text == "Data connection was closed by the client.")
            #expect(client.comesTrue { endAtBackend != nil })
            #expect(endAtBackend == .reset)
            try client.ask("PWD", 257)
        }
    }

    /// Many know the size and close when they have it.
    @Test(arguments: [false, true])
    func aClientThatClosesAfterTheLastByteHasItsFile(_ saysGoodbye: Bool) throws {
        let scene = Scene(seed: 10)
        let gateway = try SimulatedGateway(scene)
        let payload = scene.random.bytes(40_000)
        gateway.backend.handlers["RETR"] = { session, _ in
            session.say("150 Here it comes.")
            session.withData { data in
                data.send(payload)
                session.world.after(.seconds(2)) {
                    data.close()
                    session.say("226 Done.")
                }
            }
        }
        let client = try SimulatedClient(gateway)
        let data = try download(client)
        #expect(client.comesTrue { data.received.count == payload.count })
        if saysGoodbye { data.sendCloseNotify() }
        data.close()
        try client.expect(226)
    }

    @Test func aBackendsOwnFailurePassesAndIsNoGoodEnd() throws {
        let scene = Scene(seed: 11)
        let gateway = try SimulatedGateway(scene)
        gateway.backend.handlers["RETR"] = { session, _ in
            session.say("150 Here it comes.")
            session.withData { data in
                data.send([1, 2, 3])
                data.whenSent {
                    session.world.after(.milliseconds(50)) {
                        session.say("451 Disk failed.")
                        session.world.after(.milliseconds(50)) { data.close() }
                    }
                }
            }
        }
        let client = try SimulatedClient(gateway)
        let data = try download(client)
        #expect(try client.expect(451).text == "Disk failed.")
        #expect(client.comesTrue { data.end != nil })
        #expect(data.end == .reset)
        try client.ask("PWD", 257)
    }

    @Test func aBackendThatClosesItsControlConnectionWithTheData() throws {
        for saysFinal in [true, false] {
            let scene = Scene(seed: 12)
            let gateway = try SimulatedGateway(scene)
            gateway.backend.handlers["RETR"] = { session, _ in
                session.say("150 Here it comes.")
                session.withData { data in
                    data.send([1, 2, 3])
                    data.close()
                    if saysFinal { session.say("226 Done.") }
                    session.peer.close()
                }
            }
            let client = try SimulatedClient(gateway)
            let data = try download(client)
            try client.expect(saysFinal ? 226 : 451)
            try client.expect(421)
            #expect(client.comesTrue { gateway.sessions.isEmpty })
            if saysFinal { #expect(data.received == [1, 2, 3]) }
        }
    }

    @Test func a421InTheMiddleEndsTheSession() throws {
        let scene = Scene(seed: 13)
        let gateway = try SimulatedGateway(scene)
        gateway.backend.handlers["RETR"] = { session, _ in
            session.say("150 Here it comes.")
            session.withData { data in
                data.send([1, 2, 3])
                session.world.after(.seconds(1)) { session.say("421 Going down.") }
            }
        }
        let client = try SimulatedClient(gateway)
        let data = try download(client)
        #expect(try client.expect(421).text == "Going down.")
        #expect(client.comesTrue { data.end != nil })
        #expect(data.end == .reset)
        #expect(client.comesTrue { client.control.end != nil })
        #expect(client.control.end == .closeNotify)
    }
}
