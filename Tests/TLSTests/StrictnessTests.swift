import COpenSSL
import PKI
import Testing

@testable import TLS

/// What the operator may make stricter, or laxer.
@Suite struct StrictnessTests {
    @Test(arguments: TLSVersion.allCases)
    func anUnknownNameIsRefusedWhereNamesMustBeKnown(version: TLSVersion) throws {
        let context = try makeContext { $0.requiresKnownName = true }
        let known = Conversation(context, TestClientSettings(version), serverName: "ftps.example.com")
        #expect(known.handshake() == .done)
        for (name, reason) in [
            ("other.example.com", "the client asks for a name that no certificate has"), (nil, "the client asks for no name"),
        ] {
            let talk = Conversation(context, TestClientSettings(version), serverName: name)
            #expect(talk.handshake() == .failed(.peerMisbehaved(reason)))
            #expect(talk.clientAlert == "unrecognized name")
        }
    }

    @Test func foreignProtocolsAreLetInWhereTheOperatorSaysSo() throws {
        let talk = Conversation(try makeContext { $0.requiresKnownProtocol = false }, alpn: ["http/1.1"])
        #expect(talk.handshake() == .done)
        #expect(talk.server.facts?.alpn == nil)
    }

    @Test(
        arguments: [
            ([0, 9, 0, 0, 6] + Array("abcdef".utf8), "abcdef"), ([0, 9, 0, 0, 6] + Array("abcde".utf8), nil), ([], nil),
            ([0, 0], nil),
            ([0, 9, 1, 0, 6] + Array("abcdef".utf8), nil), ([0, 9, 0, 0, 7] + Array("abcdef".utf8), nil),
            ([0, 9, 0, 0, 0] + Array("abcdef".utf8), nil),
            ([0, 9, 0, 0, 6] + Array("abc\0ef".utf8), nil), ([0, 9, 0, 255, 255] + Array("abcdef".utf8), nil),
        ] as [([UInt8], String?)])
    func aNameIsReadFromItsExtension(list: [UInt8], name: String?) {
        #expect(ServerName.hostName(in: list) == name)
    }

    @Test func oldClientsAreServedInTheLegacyProfileAlone() throws {
        for isLegacy in [false, true] {
            let identities = Identities()
            var policy = TLSPolicy()
            policy.isLegacy = isLegacy
            if isLegacy { policy.minimumVersion = .tls10 }
            let context = try TLSContext(policy: policy, identities: [identities.make("ftps.example.com", .rsa(bits: 2048))])
            let old = TestClientSettings()
            shim_SSL_CTX_set_min_proto_version(old.pointer, TLS1_VERSION)
            shim_SSL_CTX_set_max_proto_version(old.pointer, TLS1_VERSION)
            #expect(SSL_CTX_set_cipher_list(old.pointer, "ALL:@SECLEVEL=0") == 1)
            let talk = Conversation(context, old)
            #expect((talk.handshake() == .done) == isLegacy)

            let rsa = TestClientSettings(.tls12)
            #expect(SSL_CTX_set_cipher_list(rsa.pointer, "AES128-GCM-SHA256") == 1)
            let second = Conversation(context, rsa)
            #expect((second.handshake() == .done) == isLegacy)
            if isLegacy { #expect(second.server.facts?.cipher == "AES128-GCM-SHA256") }
        }
    }

    @Test func signaturesAreTheOperatorsChoice() throws {
        let context = try makeContext { $0.signatures = "ECDSA+SHA384" }
        let other = TestClientSettings(.tls13)
        shim_SSL_CTX_set1_sigalgs_list(other.pointer, "ECDSA+SHA256")
        #expect(Conversation(context, other).handshake() != .done)
    }

    /// The post-quantum group where this OpenSSL has it, and without a word the next best where it does not.
    @Test func theBestGroupThatOpenSSLHasComesFirst() throws {
        let settings = TestClientSettings(.tls13)
        let isKnown = shim_SSL_CTX_set1_groups_list(settings.pointer, "X25519MLKEM768") == 1
        ERR_clear_error()
        #expect(TLSPolicy.defaultGroups.count == 2)
        for list in TLSPolicy.defaultGroups { #expect(list.hasSuffix("X25519:prime256v1:secp384r1")) }
        // A client that can do nothing else is served by an OpenSSL that has it; and every client is by one that has not.
        #expect(Conversation(try makeContext(), settings).handshake() == .done)
        #expect(OpenSSL_version_num() < 0x3050_0000 || isKnown)
    }

    @Test func whatOpenSSLDoesNotKnowIsNamed() {
        var signatures = TLSPolicy()
        signatures.signatures = "nonsense"
        var (ciphers, ciphersuites, groups) = (TLSPolicy(), TLSPolicy(), TLSPolicy())
        ciphers.ciphers = "nonsense"
        ciphersuites.ciphersuites = "nonsense"
        groups.groups = "nonsense"
        for (flag, policy) in [
            ("--tls-ciphers", ciphers), ("--tls-ciphersuites", ciphersuites), ("--tls-groups", groups),
            ("--tls-signatures", signatures),
        ] {
            let error = #expect(throws: TLSConfigurationError.self) { try makeContext { $0 = policy } }
            #expect(error?.description.hasPrefix("\(flag): OpenSSL knows nothing in \"nonsense\"") == true)
        }
    }
}

/// Keys that have protected enough are changed (RFC 8446 section 4.6.3).
@Suite struct KeyChangeTests {
    private final class Count { var keyUpdates = 0 }

    /// Counts the key changes that the client is told of.
    private func watch(_ talk: Conversation, _ count: Count) {
        SSL_set_msg_callback(talk.client) { isSent, _, type, message, length, _, argument in
            guard isSent == 0, type == SSL3_RT_HANDSHAKE, length > 0, let message, let argument else { return }
            if message.load(as: UInt8.self) == UInt8(SSL3_MT_KEY_UPDATE) {
                Unmanaged<Count>.fromOpaque(argument).takeUnretainedValue().keyUpdates += 1
            }
        }
        shim_SSL_set_msg_callback_arg(talk.client, Unmanaged.passUnretained(count).toOpaque())
    }

    @Test(arguments: [(TLSVersion.tls13, 9), (.tls12, 0)])
    func keysChangeAfterSoManyBytesSent(version: TLSVersion, changes: Int) throws {
        let talk = Conversation(try makeContext { $0.rekeyBytes = 10_000 }, TestClientSettings(version))
        #expect(talk.handshake() == .done)
        let count = Count()
        watch(talk, count)
        let text = String(repeating: "x", count: 1000)
        for _ in 0..<100 {
            #expect(talk.serverSends(text) == .bytes(1000))
            #expect(talk.clientReads() == text)
        }
        #expect(count.keyUpdates == changes)
    }

    @Test func aFloodOfKeyChangesEndsTheConnection() throws {
        let talk = Conversation(try makeContext(), TestClientSettings(.tls13))
        #expect(talk.handshake() == .done)
        for _ in 0..<100 {
            SSL_key_update(talk.client, SSL_KEY_UPDATE_NOT_REQUESTED)
            SSL_do_handshake(talk.client)
            talk.moveToServer()
            #expect(talk.serverReads() == .wantsRead)
        }
        SSL_key_update(talk.client, SSL_KEY_UPDATE_NOT_REQUESTED)
        SSL_do_handshake(talk.client)
        talk.moveToServer()
        #expect(talk.serverReads() == .failed(.peerMisbehaved("the client changes keys without end")))
    }

    @Test func whoeverMovesDataMayChangeKeysForEver() throws {
        let talk = Conversation(try makeContext(), TestClientSettings(.tls13))
        #expect(talk.handshake() == .done)
        let text = String(repeating: "x", count: 16_000)
        for _ in 0..<150 {
            SSL_key_update(talk.client, SSL_KEY_UPDATE_NOT_REQUESTED)
            for _ in 0..<5 {
                talk.clientSends(text)
                #expect(talk.serverReadsText() == text)
            }
        }
    }
}
