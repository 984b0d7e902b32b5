import COpenSSL
import TestSupport
import Testing

@testable import TLS

/// A connection's sending direction goes over to somebody else in the middle: the client must not notice.
@Suite struct KernelKeysTests {
    static let suites: [(TLSVersion, String)] = [
        (.tls13, "TLS_AES_128_GCM_SHA256"), (.tls13, "TLS_AES_256_GCM_SHA384"), (.tls13, "TLS_CHACHA20_POLY1305_SHA256"),
        (.tls12, "ECDHE-ECDSA-AES128-GCM-SHA256"), (.tls12, "ECDHE-ECDSA-AES256-GCM-SHA384"),
        (.tls12, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ]

    private func secured(
        _ version: TLSVersion, _ cipher: String? = nil, _ change: @escaping (inout TLSPolicy) -> Void = { _ in }
    ) throws -> Conversation {
        let context = try makeContext {
            $0.usesKernel = true
            if version == .tls13 { $0.ciphersuites = cipher } else { $0.ciphers = cipher }
            change(&$0)
        }
        let talk = Conversation(context, TestClientSettings(version), role: .data(accepts: { _ in true }))
        #expect(talk.handshake() == .done)
        return talk
    }

    private func move(_ talk: Conversation) -> RecordMaker? {
        var maker: RecordMaker?
        let hasMoved = talk.server.moveSending {
            maker = RecordMaker($0)
            return true
        }
        #expect(hasMoved == (maker != nil))
        return maker
    }

    @Test(arguments: suites, [0, 1, 300])
    func whoGetsTheKeysGoesOnWhereOpenSSLWas(_ suite: (TLSVersion, String), records: Int) throws {
        let talk = try secured(suite.0, suite.1)
        for index in 0..<records {
            #expect(talk.serverSends("\(index) ") == .bytes("\(index) ".utf8.count))
        }
        let kernel = try #require(move(talk))
        #expect(talk.server.sendsInKernel)
        talk.pipe.toClient += kernel.record(23, Array("kernel ".utf8)) + kernel.record(23, Array("and again".utf8))
        let alert = try #require(talk.server.takeCloseNotify())
        talk.pipe.toClient += kernel.record(21, alert)
        #expect(talk.clientReads() == (0..<records).map { "\($0) " }.joined() + "kernel and again")
        #expect(talk.clientSawCloseNotify)
        #expect(talk.server.takeCloseNotify() == nil)
        // The other direction stays with OpenSSL.
        talk.clientSends("still here")
        #expect(talk.serverReadsText() == "still here")
    }

    @Test(arguments: TLSVersion.allCases)
    func aKernelThatRefusesChangesNothing(_ version: TLSVersion) throws {
        let talk = try secured(version)
        #expect(!talk.server.moveSending { _ in false })
        #expect(!talk.server.sendsInKernel)
        #expect(talk.serverSends("ours") == .bytes(4))
        #expect(talk.server.sendCloseNotify() == .done)
        #expect(talk.clientReads() == "ours")
        #expect(talk.clientSawCloseNotify)
        // It is asked once.
        #expect(!talk.server.moveSending { _ in true })
    }

    @Test func onlyDataConnectionsKeepTheirKeysAndOnlyWhereTheyAreWanted() throws {
        #expect(try secured(.tls13).server.kernelLimit(expecting: 1) != nil)
        let without = try secured(.tls13) { $0.usesKernel = false }
        #expect(without.server.kernelLimit(expecting: 1) == nil)
        let control = Conversation(try makeContext { $0.usesKernel = true }, TestClientSettings(.tls12))
        #expect(control.handshake() == .done)
        #expect(control.server.kernelLimit(expecting: 1) == nil)
    }

    @Test func whatWouldNeedNewKeysStaysWithOpenSSL() throws {
        let talk = try secured(.tls13) { $0.rekeyBytes = 1000 }
        #expect(talk.server.kernelLimit(expecting: 1000) == 1000)
        #expect(talk.server.kernelLimit(expecting: 1001) == nil)
        #expect(talk.server.kernelLimit(expecting: nil) == nil)
        let endless = try secured(.tls13) { $0.rekeyBytes = 0 }
        #expect(endless.server.kernelLimit(expecting: nil) == .max)
        // It has no way to change keys, wherever it runs.
        let old = try secured(.tls12) { $0.rekeyBytes = 1000 }
        #expect(old.server.kernelLimit(expecting: nil) == .max)
    }

    @Test func keysThatWereChangedAreNotHandedOver() throws {
        let talk = try secured(.tls13) { $0.rekeyBytes = 10 }
        #expect(talk.serverSends("ten bytes!") == .bytes(10))
        #expect(talk.server.kernelLimit(expecting: 5) == 10)
        #expect(talk.serverSends("new keys") == .bytes(8))
        #expect(talk.server.kernelLimit(expecting: 5) == nil)
        #expect(move(talk) == nil)
        #expect(talk.clientReads() == "ten bytes!new keys")
    }

    /// RFC 8446 section 4.6.3: the answer must come before the next data.
    @Test func aRequestForNewKeysEndsWhatTheKernelSends() throws {
        let talk = try secured(.tls13)
        _ = try #require(move(talk))
        SSL_key_update(talk.client, SSL_KEY_UPDATE_REQUESTED)
        SSL_do_handshake(talk.client)
        talk.moveToServer()
        #expect(talk.serverReads() == .failed(.keysAreFixed))
        // A transfer that is cut has no end.
        #expect(talk.server.takeCloseNotify() == nil)
    }

    @Test func aRequestForNewKeysBeforeThatIsGranted() throws {
        let talk = try secured(.tls13)
        SSL_key_update(talk.client, SSL_KEY_UPDATE_REQUESTED)
        SSL_do_handshake(talk.client)
        talk.moveToServer()
        #expect(talk.serverReads() == .wantsRead)
        #expect(move(talk) == nil)
        #expect(talk.serverSends("under new keys") == .bytes(14))
        #expect(talk.clientReads() == "under new keys")
    }

    @Test func theClientMayChangeItsOwnKeys() throws {
        let talk = try secured(.tls13)
        let kernel = try #require(move(talk))
        SSL_key_update(talk.client, SSL_KEY_UPDATE_NOT_REQUESTED)
        talk.clientSends("under new keys")
        #expect(talk.serverReadsText() == "under new keys")
        talk.pipe.toClient += kernel.record(23, Array("fine".utf8))
        #expect(talk.clientReads() == "fine")
    }

    /// OpenSSL would send a fatal alert under keys whose count has stood still.
    @Test(arguments: suites, [20, 40])
    func nothingOfOpenSSLsGoesOutAnyMore(_ suite: (TLSVersion, String), forged: UInt8) throws {
        let talk = try secured(suite.0, suite.1)
        _ = try #require(move(talk))
        talk.pipe.toServer += [23, 3, 3, 0, forged] + [UInt8](repeating: 1, count: Int(forged))
        guard case .failed(.peerMisbehaved) = talk.serverReads() else {
            Issue.record("a forged record was taken")
            return
        }
        #expect(talk.pipe.toClient.isEmpty)
    }
}
