import TLS
import Testing

/// Whose session a connection takes part in: the tag in the ticket, or in the cached session, names the control connection.
@Suite struct ResumptionTests {
    /// How a client resumes: with a ticket, or in TLS 1.2 without one by its session's id.
    struct Way: CustomTestStringConvertible, Sendable {
        let version: TLSVersion
        let tickets: Bool
        var testDescription: String { "TLS \(version.rawValue) \(tickets ? "ticket" : "session id")" }
        func settings() -> TestClientSettings { TestClientSettings(version, tickets: tickets) }
    }
    static let ways = [
        Way(version: .tls13, tickets: true), Way(version: .tls12, tickets: true), Way(version: .tls12, tickets: false),
    ]

    /// To be kept alive: OpenSSL forgets a session whose connection goes without close_notify.
    func control(_ context: TLSContext, _ tag: SessionTag, _ settings: TestClientSettings, _ session: TestSession? = nil)
        -> Conversation
    {
        let talk = Conversation(context, settings, role: .control(tag: tag), resuming: session)
        #expect(talk.handshake() == .done)
        return talk
    }

    func data(_ context: TLSContext, of tag: SessionTag, _ settings: TestClientSettings, _ session: TestSession?) -> Conversation
    {
        let talk = Conversation(context, settings, role: .data(accepts: { $0 == tag }), resuming: session)
        #expect(talk.handshake() == .done)
        return talk
    }

    @Test(arguments: ways)
    func aDataConnectionResumesItsControlConnection(way: Way) throws {
        let (context, settings, tag) = (try makeContext(), way.settings(), SessionTag.random())
        let control = control(context, tag, settings)
        let data = data(context, of: tag, settings, control.session())
        #expect(data.server.facts?.isResumed == true)
        #expect(data.server.facts?.sessionTag == tag)
    }

    @Test(arguments: ways)
    func aForeignSessionIsDeclinedAndAFullHandshakeFollows(way: Way) throws {
        let (context, settings) = (try makeContext(), way.settings())
        let control = control(context, .random(), settings)
        let data = data(context, of: .random(), settings, control.session())
        #expect(data.server.facts?.isResumed == false)
        #expect(data.server.facts?.sessionTag == nil)
    }

    @Test(arguments: ways)
    func aControlConnectionThatResumesGetsATagOfItsOwn(way: Way) throws {
        let (context, settings, second) = (try makeContext(), way.settings(), SessionTag.random())
        let first = control(context, .random(), settings)
        let again = control(context, second, settings, first.session())
        // A cached session cannot be given another tag: a full handshake makes a new one.
        #expect(again.server.facts?.isResumed == way.tickets)
        let data = data(context, of: second, settings, again.session())
        #expect(data.server.facts?.isResumed == true)
        #expect(data.server.facts?.sessionTag == second)
    }

    @Test func dataConnectionsIssueNoTickets() throws {
        let (context, settings, tag) = (try makeContext(), TestClientSettings(.tls13), SessionTag.random())
        let control = control(context, tag, settings)
        let data = Conversation(context, settings, role: .data(accepts: { $0 == tag }), resuming: control.session())
        var step = data.server.handshake()
        while step == .wantsRead {
            data.handshakeClientOnly()
            step = data.server.handshake()
        }
        #expect(step == .done)
        data.moveToClient()
        data.handshakeClientOnly()
        step = data.server.handshake()
        #expect(data.pipe.toClient.isEmpty)
    }

    @Test func aFreshTicketFollowsForEachDataConnection() throws {
        let (context, settings, tag) = (try makeContext(), TestClientSettings(.tls13), SessionTag.random())
        let talk = control(context, tag, settings)
        for _ in 0..<5 {
            talk.server.queueTicket()
            _ = talk.serverSends("227 x\r\n")
            #expect(talk.clientReads() == "227 x\r\n")
            let data = data(context, of: tag, settings, talk.session())
            #expect(data.server.facts?.isResumed == true)
        }
    }

    @Test func ticketsAreGoodUnderEveryName() throws {
        let identities = Identities()
        let context = try TLSContext(
            policy: TLSPolicy(), identities: [identities.make("a.example"), identities.make("b.example")])
        let tag = SessionTag.random()
        for version in TLSVersion.allCases {
            let settings = TestClientSettings(version)
            let first = Conversation(context, settings, role: .control(tag: tag), serverName: "b.example")
            #expect(first.handshake() == .done)
            // Many programs send no name on data connections.
            let data = data(context, of: tag, settings, first.session())
            #expect(data.server.facts?.isResumed == true)
        }
    }
}
