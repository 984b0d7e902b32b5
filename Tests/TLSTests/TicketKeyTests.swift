import Glibc
import PKI
import Synchronization
import TestSupport
import Testing

@testable import TLS

/// A clock that tests set.
final class Clock: Sendable {
    private let seconds = Mutex<Int64>(23_148 * 43_200)  // where a slice of 12 hours begins
    var now: @Sendable () -> Int64 { { [self] in seconds.withLock { $0 } } }
    func advance(hours: Int64) { seconds.withLock { $0 += hours * 3600 } }
}

@Suite struct TicketKeyTests {
    let clock = Clock()

    @Test func keysRotateAndOldOnesDecryptForASessionsLifetime() throws {
        for source in [TicketKeys.Source.random, .secret(SecretBytes([UInt8](repeating: 7, count: 32)))] {
            let clock = Clock()
            let keys = TicketKeys(source, rotation: .seconds(12 * 3600), lifetime: .seconds(24 * 3600), now: clock.now)
            let first = keys.current()
            #expect(keys.current().name == first.name)
            clock.advance(hours: 12)
            let second = keys.current()
            #expect(second.name != first.name)
            #expect(keys.key(named: first.name) != nil)
            // The last ticket under the first key was issued 12 hours after the key was made.
            clock.advance(hours: 23)
            #expect(keys.key(named: first.name) != nil)
            clock.advance(hours: 26)
            #expect(keys.key(named: first.name) == nil)
            #expect(keys.key(named: [UInt8](repeating: 0, count: 12)) == nil)
        }
    }

    @Test func replicasWithOneSecretHaveTheSameKeys() {
        let secret = TicketKeys.Source.secret(SecretBytes([UInt8](repeating: 9, count: 40)))
        let (one, two) = (TicketKeys(secret, now: clock.now), TicketKeys(secret, now: clock.now))
        let key = one.current()
        #expect(two.current().name == key.name)
        #expect(two.key(named: key.name).map { Array($0.aes) } == Array(key.aes))
        #expect(Array(key.aes) != Array(key.hmac))
        // A replica whose clock is behind takes what one ahead has issued.
        let behind = TicketKeys(secret, now: clock.now)
        let ahead = Clock()
        ahead.advance(hours: 12)
        #expect(behind.key(named: TicketKeys(secret, now: ahead.now).current().name) != nil)
        #expect(TicketKeys(.secret(SecretBytes([UInt8](repeating: 8, count: 40))), now: clock.now).current().name != key.name)
    }

    @Test func theLastButOneOfGivenKeysEncrypts() throws {
        let folder = TemporaryFolder()
        let path = folder.file("tickets")
        #expect(Shell.run("for i in 1 2 3; do openssl rand 80 | openssl base64 -A; echo; done > \(path)").status == 0)
        let source = try TicketKeys.Source.keys(file: path)
        guard case .keys(let given) = source else { return }
        let keys = TicketKeys(source)
        #expect(keys.current().name == Array(given[1].bytes[..<12]))
        for key in given { #expect(keys.key(named: key.bytes[..<12]) != nil) }
        let one = try TicketKeys.Source.keys(file: folder.write(Array(given[0].bytes), to: "raw"))
        #expect(TicketKeys(one).current().name == Array(given[0].bytes[..<12]))
    }

    @Test func aReloadedRandomSourceKeepsItsKeys() {
        let keys = TicketKeys(.random)
        let before = keys.current().name
        keys.use(.random)
        #expect(keys.current().name == before)
        keys.use(.secret(SecretBytes([UInt8](repeating: 1, count: 32))))
        #expect(keys.key(named: before) == nil)
    }

    @Test func aSecretIsMadeOnceAndKept() {
        let folder = TemporaryFolder()
        let file = folder.file("ticket.secret")
        let first = TicketKeys.Source.kept(in: file)
        guard case .secret(let bytes) = first else {
            Issue.record("no secret was made")
            return
        }
        #expect(bytes.count == 32)
        #expect(Shell.mode(of: file) == 0o600)
        #expect(TicketKeys.Source.kept(in: file) == first)
        // One that others may have read, or a link to a place of somebody else's choice, is made anew.
        chmod(file, 0o644)
        let second = TicketKeys.Source.kept(in: file)
        #expect(second != first && Shell.mode(of: file) == 0o600)
        folder.write([UInt8](repeating: 1, count: 32), to: "planted", mode: 0o600)
        unlink(file)
        symlink(folder.file("planted"), file)
        guard case .secret(let third) = TicketKeys.Source.kept(in: file) else {
            Issue.record("no secret was made")
            return
        }
        #expect(third != SecretBytes([UInt8](repeating: 1, count: 32)))
        #expect(TicketKeys.Source.kept(in: "\(folder.path)/none/ticket.secret") == .random)
    }

    @Test func wrongFilesGetASentence() {
        let folder = TemporaryFolder()
        for (text, part) in [("", "holds no key"), ("abc\n", "line 1"), ("# only a comment\n", "holds no key")] {
            let path = folder.write(text, to: "keys")
            #expect { try TicketKeys.Source.keys(file: path) } throws: { "\($0)".contains(part) }
        }
        let short = folder.write("short", to: "secret")
        #expect { try TicketKeys.Source.secret(file: short) } throws: { "\($0)".contains("holds 5 bytes, and 32 are the least") }
    }

    @Test func theOwnerStandsInClearInTicketsAndSessionIds() throws {
        let context = try makeContext()
        let owner = SessionOwner(0x0102_0304)
        for (version, tickets) in [(TLSVersion.tls13, true), (.tls12, true), (.tls12, false)] {
            let talk = Conversation(
                context, TestClientSettings(version, tickets: tickets), role: .control(tag: .random(), owner: owner))
            #expect(talk.handshake() == .done)
            let session = try #require(talk.session())
            #expect(SessionOwner(in: tickets ? session.ticket : session.id) == owner)
        }
        #expect(SessionOwner(in: [1, 2, 3]) == nil)
    }

    @Test func ticketsOfOneReplicaResumeAtAnother() throws {
        let secret = TicketKeys.Source.secret(SecretBytes([UInt8](repeating: 3, count: 32)))
        let identities = [try Identities().make("ftps.example.com")]
        let replicas = try (0..<2).map { _ in
            try TLSContext(policy: TLSPolicy(), identities: identities, store: SessionStore(ticketKeys: TicketKeys(secret)))
        }
        let stranger = try TLSContext(policy: TLSPolicy(), identities: identities)
        for version in TLSVersion.allCases {
            let settings = TestClientSettings(version)
            let first = Conversation(replicas[0], settings)
            #expect(first.handshake() == .done)
            let second = Conversation(replicas[1], settings, resuming: first.session())
            #expect(second.handshake() == .done)
            #expect(second.server.facts?.isResumed == true)
            let third = Conversation(stranger, settings, resuming: second.session())
            #expect(third.handshake() == .done)
            #expect(third.server.facts?.isResumed == false)
        }
    }

    @Test func sessionsOutliveAReload() throws {
        let store = SessionStore()
        let identities = [try Identities().make("ftps.example.com")]
        let before = try TLSContext(policy: TLSPolicy(), identities: identities, store: store)
        let after = try TLSContext(policy: TLSPolicy(), identities: [Identities().make("new.example.com")], store: store)
        for way in ResumptionTests.ways {
            let (settings, tag) = (way.settings(), SessionTag.random())
            let control = Conversation(before, settings, role: .control(tag: tag))
            #expect(control.handshake() == .done)
            let data = Conversation(after, settings, role: .data(accepts: { $0 == tag }), resuming: control.session())
            #expect(data.handshake() == .done)
            #expect(data.server.facts?.isResumed == true, "\(way.testDescription)")
        }
    }

    @Test func theLineageTellsWhichControlConnectionsShareASession() throws {
        let context = try makeContext()
        for version in TLSVersion.allCases {
            let settings = TestClientSettings(version)
            var talks = [Conversation(context, settings)]
            #expect(talks[0].handshake() == .done)
            for _ in 0..<3 {
                talks.append(Conversation(context, settings, resuming: talks.last?.session()))
                #expect(talks.last?.handshake() == .done)
            }
            #expect(Set(talks.map { $0.server.facts?.lineage }).count == 1)
            let other = Conversation(context, settings)
            #expect(other.handshake() == .done)
            #expect(other.server.facts?.lineage != talks[0].server.facts?.lineage)
        }
    }

    @Test func theCacheIsBounded() throws {
        let cache = SessionCache(limit: 3)
        let context = try makeContext()
        var ids: [[UInt8]] = []
        for _ in 0..<10 {
            let talk = Conversation(context, TestClientSettings(.tls12, tickets: false))
            #expect(talk.handshake() == .done)
            let session = try #require(talk.session())
            ids.append(session.id)
            cache.keepCopy(of: session)
        }
        let found = ids.map { id in id.withUnsafeBufferPointer { cache.holds($0) } }
        #expect(found == [Bool](repeating: false, count: 7) + [true, true, true])
    }
}
