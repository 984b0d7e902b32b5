import Glibc
import TLS
import Testing

/// How connections end: the difference between a whole file and half a file.
@Suite struct EndingTests {
    func secured(_ version: TLSVersion) throws -> Conversation {
        let talk = Conversation(try makeContext(), TestClientSettings(version))
        #expect(talk.handshake() == .done)
        return talk
    }

    @Test(arguments: TLSVersion.allCases)
    func closeNotifyIsAWholeEnd(version: TLSVersion) throws {
        let talk = try secured(version)
        talk.clientSends("tail")
        talk.clientShutsDown()
        talk.pipe.hasEnded = true
        #expect(talk.serverReadsText() == "tail")
        #expect(talk.serverReads() == .closeNotify)
        #expect(talk.server.sawCloseNotify)
        #expect(talk.server.sendCloseNotify() == .done)
        _ = talk.clientReads()
        #expect(talk.clientSawCloseNotify)
    }

    @Test(arguments: TLSVersion.allCases)
    func ourCloseNotifyGoesOutOnce(version: TLSVersion) throws {
        let talk = try secured(version)
        #expect(talk.server.sendCloseNotify() == .done)
        let count = talk.pipe.toClient.count
        #expect(count > 0)
        #expect(talk.server.sendCloseNotify() == .done)
        #expect(talk.pipe.toClient.count == count)
        // The other direction stays open.
        talk.clientSends("still here")
        #expect(talk.serverReadsText() == "still here")
    }

    @Test(arguments: TLSVersion.allCases)
    func aFINBetweenRecordsIsATruncation(version: TLSVersion) throws {
        let talk = try secured(version)
        talk.clientSends("part")
        talk.pipe.hasEnded = true
        #expect(talk.serverReadsText() == "part")
        #expect(talk.serverReads() == .truncated(atRecordBoundary: true))
        #expect(!talk.server.sawCloseNotify)
    }

    @Test(arguments: TLSVersion.allCases)
    func aFINWithinARecordIsACut(version: TLSVersion) throws {
        let whole = try secured(version)
        whole.clientSends("part")
        let count = whole.pipe.toServer.count
        for kept in 1..<count {
            let talk = try secured(version)
            talk.clientSends("part")
            talk.pipe.toServer.removeLast(count - kept)
            talk.pipe.hasEnded = true
            #expect(talk.serverReads() == .truncated(atRecordBoundary: false), "\(kept) bytes of \(count)")
        }
    }

    @Test(arguments: TLSVersion.allCases)
    func aResetIsNoEnd(version: TLSVersion) throws {
        let talk = try secured(version)
        talk.pipe.failure = ECONNRESET
        #expect(talk.serverReads() == .failed(.transport(errno: ECONNRESET)))
    }

    @Test(arguments: TLSVersion.allCases)
    func aForgedRecordFailsAndNothingIsSaidAfterIt(version: TLSVersion) throws {
        let talk = try secured(version)
        talk.clientSends("part")
        talk.pipe.toServer[talk.pipe.toServer.count - 1] ^= 1
        let step = talk.serverReads()
        guard case .failed(.peerMisbehaved) = step else {
            Issue.record("a forged record came to \(step)")
            return
        }
        talk.pipe.toClient = []
        #expect(talk.server.sendCloseNotify() == .done)
        #expect(talk.pipe.toClient.isEmpty)
    }

    @Test func noCloseNotifyBeforeTheHandshakeIsOver() throws {
        let talk = Conversation(try makeContext())
        #expect(talk.server.sendCloseNotify() == .done)
        #expect(talk.pipe.toClient.isEmpty)
    }
}
