import COpenSSL
import TLS
import Testing
import Wire

/// Whose session a client means to resume, from its ClientHello alone.
@Suite struct SessionClaimTests {
    /// The ClientHello of a connection that would resume this session.
    private func hello(_ context: TLSContext, _ settings: TestClientSettings, _ session: TestSession?) throws -> ClientHello {
        let talk = Conversation(context, settings, resuming: session)
        talk.handshakeClientOnly()
        guard case .whole(let hello) = ClientHello.read(talk.pipe.toServer) else {
            throw Unread(bytes: talk.pipe.toServer)
        }
        return hello
    }

    private struct Unread: Error { let bytes: [UInt8] }

    @Test(arguments: ResumptionTests.ways)
    func itIsKnownBeforeTheHandshake(way: ResumptionTests.Way) throws {
        let (context, settings) = (try makeContext(), way.settings())
        var talks: [Conversation] = []
        for _ in 0..<3 {
            let tag = SessionTag.random()
            let talk = Conversation(context, settings, role: .control(tag: tag))
            #expect(talk.handshake() == .done)
            talks.append(talk)
            #expect(context.store.claimedTag(in: try hello(context, settings, talk.session())) == tag)
        }
        #expect(context.store.claimedTag(in: try hello(context, settings, nil)) == nil)
    }

    @Test(arguments: ResumptionTests.ways)
    func anotherGatewaysSessionsClaimNothing(way: ResumptionTests.Way) throws {
        let (ours, theirs, settings) = (try makeContext(), try makeContext(), way.settings())
        let talk = Conversation(theirs, settings, role: .control(tag: .random()))
        #expect(talk.handshake() == .done)
        #expect(ours.store.claimedTag(in: try hello(theirs, settings, talk.session())) == nil)
    }

    @Test func aTicketThatWasTamperedWithClaimsNothing() throws {
        let (context, settings) = (try makeContext(), TestClientSettings(.tls13))
        let talk = Conversation(context, settings, role: .control(tag: .random()))
        #expect(talk.handshake() == .done)
        let ticket = try #require(talk.session()).ticket
        let whole = try hello(context, settings, talk.session())
        #expect(whole.tickets == [ticket])
        // The ClientHello of a made-up ticket, which no client would send.
        for index in ticket.indices {
            var changed = ticket
            changed[index] ^= 1
            guard case .whole(let forged) = ClientHello.read(Self.hello(ticket: changed)) else {
                Issue.record("not read")
                return
            }
            // The owner stands outside of what the key name is: 12 bytes of name, 4 of owner; but the HMAC covers it.
            #expect(context.store.claimedTag(in: forged) == nil, "byte \(index)")
        }
        for count in [0, 1, 12, 16, 32, 64, 65, ticket.count - 1] {
            guard case .whole(let forged) = ClientHello.read(Self.hello(ticket: Array(ticket.prefix(count)))) else { continue }
            #expect(context.store.claimedTag(in: forged) == nil, "\(count) bytes")
        }
    }

    private static func hello(ticket: [UInt8]) -> [UInt8] {
        func vector(_ bytes: [UInt8], _ lengthBytes: Int) -> [UInt8] {
            (0..<lengthBytes).reversed().map { UInt8(truncatingIfNeeded: bytes.count >> ($0 * 8)) } + bytes
        }
        let extensions = vector([0, 35] + vector(ticket, 2), 2)
        let body = [3, 3] + [UInt8](repeating: 1, count: 32) + [0] + vector([0xc0, 0x2f], 2) + vector([0], 1) + extensions
        return [22, 3, 1] + vector([1] + vector(body, 3), 2)
    }
}
