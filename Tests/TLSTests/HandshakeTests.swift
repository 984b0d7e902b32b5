import Glibc
import PKI
import TLS
import TestSupport
import Testing

@Suite struct HandshakeTests {
    @Test(arguments: TLSVersion.allCases)
    func bytesPassBothWays(version: TLSVersion) throws {
        let talk = Conversation(try makeContext(), TestClientSettings(version), serverName: "ftps.example.com", alpn: ["ftp"])
        #expect(talk.handshake() == .done)
        let facts = try #require(talk.server.facts)
        #expect(facts.version == "TLSv\(version.rawValue)")
        #expect(facts.cipher.contains("AES"))
        #expect(!facts.isResumed)
        #expect(facts.serverName == "ftps.example.com")
        #expect(facts.alpn == "ftp")
        #expect(facts.clientCertificate == nil)

        talk.clientSends("USER joe\r\n")
        #expect(talk.serverReadsText() == "USER joe\r\n")
        #expect(talk.serverSends("331 Password?\r\n") == .bytes(15))
        #expect(talk.clientReads() == "331 Password?\r\n")
        #expect(talk.serverReads() == .wantsRead)
    }

    @Test(arguments: TLSVersion.allCases)
    func aClientHelloMayComeByteByByte(version: TLSVersion) throws {
        let talk = Conversation(try makeContext(), TestClientSettings(version))
        talk.pipe.readLimit = 1
        #expect(talk.handshake() == .done)
    }

    @Test func clientsOfOtherVersionsAreTurnedAway() throws {
        let only13 = try makeContext { $0.minimumVersion = .tls13 }
        guard case .failed(.peerMisbehaved(let reason)) = Conversation(only13, TestClientSettings(.tls12)).handshake() else {
            Issue.record("TLS 1.2 was not refused")
            return
        }
        #expect(reason == "unsupported protocol")
        let only12 = try makeContext { $0.maximumVersion = .tls12 }
        #expect(Conversation(only12, TestClientSettings(.tls13)).handshake() != .done)
    }

    @Test(arguments: ["GET / HTTP/1.1\r\n\r\n", "USER joe\r\nPASS x\r\n", "SSH-2.0-OpenSSH\r\n"])
    func whatIsNoTLSIsCalledSo(text: String) throws {
        let talk = Conversation(try makeContext())
        talk.pipe.toServer = Array(text.utf8)
        #expect(talk.server.handshake() == .failed(.notTLS))
        #expect(talk.pipe.toClient == [0x15, 3, 1, 0, 2, 2, 70], "an alert, fatal")
    }

    @Test func aClientThatLeavesInTheHandshakeIsToldFromOneThatBreaksIt() throws {
        let context = try makeContext()
        let talk = Conversation(context)
        talk.pipe.hasEnded = true
        #expect(talk.server.handshake() == .failed(.disconnected))
        let broken = Conversation(context)
        broken.pipe.failure = ECONNRESET
        #expect(broken.server.handshake() == .failed(.transport(errno: ECONNRESET)))
    }

    @Test func oneConnectionsErrorDoesNotFailAnother() throws {
        let context = try makeContext()
        let bad = Conversation(context)
        bad.pipe.toServer = Array("GET / HTTP/1.1\r\n\r\n".utf8)
        let good = Conversation(context)
        #expect(good.handshake() == .done)
        _ = bad.server.handshake()
        #expect(good.serverReads() == .wantsRead)
        good.clientSends("x")
        #expect(good.serverReadsText() == "x")
    }

    // MARK: - ALPN

    @Test(
        arguments: [
            ([], nil), (["ftp"], "ftp"), (["http/1.1", "ftp"], "ftp"), (["x-filezilla-ftp", "ftp"], "ftp"),
        ] as [([String], String?)])
    func controlConnectionsSelectFTP(offered: [String], selected: String?) throws {
        let talk = Conversation(try makeContext(), alpn: offered)
        #expect(talk.handshake() == .done)
        #expect(talk.server.facts?.alpn == selected)
    }

    @Test func dataConnectionsSelectFTPData() throws {
        let talk = Conversation(try makeContext(), role: .data(accepts: { _ in true }), alpn: ["ftp", "ftp-data"])
        #expect(talk.handshake() == .done)
        #expect(talk.server.facts?.alpn == "ftp-data")
    }

    @Test(arguments: [["http/1.1"], ["h2", "http/1.1"], ["ft"], ["ftps"]])
    func aClientThatMeantAnotherServerIsTurnedAway(offered: [String]) throws {
        let talk = Conversation(try makeContext(), alpn: offered)
        #expect(talk.handshake() != .done)
        talk.moveToClient()
    }

    // MARK: - Names and keys

    @Test(
        arguments: [
            ("one.example.com", "one"), ("ONE.example.com", "one"), ("two.example.com", "two"), ("any.example.net", "wild"),
            ("exact.example.net", "exact"), ("a.b.example.net", "one"), ("unknown.example.org", "one"), (nil, "one"),
        ] as [(String?, String)])
    func theNameLeadsToTheIdentity(asked: String?, shown: String) throws {
        let identities = Identities()
        let context = try TLSContext(
            policy: TLSPolicy(),
            identities: [
                identities.make("one", names: ["one.example.com"]), identities.make("two", names: ["two.example.com"]),
                identities.make("wild", names: ["*.example.net"]), identities.make("exact", names: ["exact.example.net"]),
            ])
        for version in TLSVersion.allCases {
            let talk = Conversation(context, TestClientSettings(version), serverName: asked)
            #expect(talk.handshake() == .done)
            #expect(talk.serverCommonName == shown)
        }
    }

    /// At the start, and not when the first client asks for its name.
    @Test(arguments: [0, 1, 2]) func aKeyThatIsTooSmallIsRefusedWhereverItStands(place: Int) throws {
        let identities = Identities()
        var all = try [identities.make("one.example.com"), identities.make("two.example.com")]
        _ = try TLSContext(policy: TLSPolicy(), identities: all)
        all.insert(try identities.make("weak.example.com", .rsa(bits: 1024)), at: place)
        #expect(throws: TLSConfigurationError.self) { try TLSContext(policy: TLSPolicy(), identities: all) }
        // Taken before under other rules.
        var lax = TLSPolicy()
        lax.ciphers = "DEFAULT:@SECLEVEL=0"
        let before = try TLSContext(policy: lax, identities: all)
        _ = try TLSContext(policy: lax, identities: all, replacing: before)
        #expect(throws: TLSConfigurationError.self) { try TLSContext(policy: TLSPolicy(), identities: all, replacing: before) }
    }

    @Test func anIdentityThatServedNobodyIsJudgedWhenItDoes() throws {
        let identities = Identities()
        let (first, weak) = try (
            identities.make("one.example.com"), identities.make("weak", names: ["a.example.com"], .rsa(bits: 1024))
        )
        let shadow = try identities.make("strong", names: ["a.example.com"], .rsa(bits: 2048))
        let before = try TLSContext(policy: TLSPolicy(), identities: [first, shadow, weak])
        #expect(throws: TLSConfigurationError.self) {
            try TLSContext(policy: TLSPolicy(), identities: [first, weak], replacing: before)
        }
    }

    @Test(arguments: TLSVersion.allCases)
    func rsaAndECDSAServeOneNameSideBySide(version: TLSVersion) throws {
        let identities = Identities()
        let context = try TLSContext(
            policy: TLSPolicy(),
            identities: [
                identities.make("rsa", names: ["rsa.example.com", "ftps.example.com"], .rsa(bits: 2048)),
                identities.make("ec", names: ["ftps.example.com", "*.example.net"], .p256),
                identities.make("second", names: ["ftps.example.com"], .p256),
            ])
        for (algorithms, expected) in [("ECDSA+SHA256", "EC"), ("RSA-PSS+SHA256:RSA+SHA256", "RSA")] {
            let settings = TestClientSettings(version)
            #expect(settings.offer(signatures: algorithms))
            for name in ["ftps.example.com", nil, "unknown.example.org"] {
                let talk = Conversation(context, settings, serverName: name)
                #expect(talk.handshake() == .done)
                #expect(talk.serverKeyAlgorithm == expected)
                #expect(talk.serverCommonName == expected.lowercased())
            }
            // Who has the name alone serves it alone.
            #expect((Conversation(context, settings, serverName: "rsa.example.com").handshake() == .done) == (expected == "RSA"))
            #expect((Conversation(context, settings, serverName: "a.example.net").handshake() == .done) == (expected == "EC"))
        }
    }

    @Test func keyAndCertificateThatDoNotBelongTogetherAreNamed() throws {
        let identities = Identities()
        _ = try identities.make("a")
        _ = try identities.make("b")
        let folder = identities.folder
        #expect {
            try TLSIdentity(certificateFile: folder.file("a.crt"), keyFile: folder.file("b.key"))
        } throws: { error in
            "\(error)"
                == "The private key in \(folder.file("b.key")) does not belong to the certificate in \(folder.file("a.crt"))."
        }
        _ = Shell.run("cd \(folder.path) && cat a.crt b.crt > both.crt")
        #expect {
            try TLSIdentity(certificateFile: folder.file("both.crt"), keyFile: folder.file("b.key"))
        } throws: { "\($0)".contains("must stand first") }
    }
}
