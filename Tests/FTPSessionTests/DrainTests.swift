import FTPProtocol
import FTPSession
import Testing
import Wire

/// The gateway is to stop: who is told to go, and when.
@Suite struct DrainTests {
    private let client = SocketAddress(ip: IPAddress("192.0.2.7")!, port: 40000)
    private let backend = SocketAddress(ip: IPAddress("198.51.100.1")!, port: 21)

    /// Logged in on an implicit listener, where data are private from the start.
    private func loggedIn() -> Session {
        var session = Session(
            policy: SharedPolicy(SessionPolicy()),
            facts: Session.Facts(client: client, isImplicit: true, passiveAddress: IPAddress("203.0.113.1")))
        for event in [
            .accepted, .clientSecured, .backendConnected(BackendFacts(address: backend)), .backendSent(Reply(220, "Hello.")),
            .clientSent(Command(.user, "ann")), .backendSent(Reply(230, "Logged in.")),
        ] as [Event] { _ = session.handle(event) }
        return session
    }

    /// Behind a 227, and the transfer command has been sent.
    private func startTransfer(_ session: inout Session) -> [Action] {
        var actions: [Action] = []
        for event in [
            .clientSent(Command(.pasv)), .backendSent(Reply(227, "Entering Passive Mode (198,51,100,1,200,1).")),
            .clientDataListening(SocketAddress(ip: IPAddress("203.0.113.1")!, port: 50000)), .backendDataConnected,
            .clientSent(Command(.retr, "file")),
        ] as [Event] { actions += session.handle(event) }
        return actions
    }

    private let farewell = Action.replyToClient(.shuttingDown)

    @Test func anIdleSessionIsToldToGoAfterAMoment() {
        var session = loggedIn()
        #expect(session.handle(.drainRequested) == [.setTimer(.drain)])
        #expect(session.handle(.timerFired(.drain)) == [farewell, .close(.shutdown)])
    }

    @Test func aSessionThatIsAtWorkMayStillBeginATransfer() {
        var session = loggedIn()
        _ = session.handle(.drainRequested)
        let actions = startTransfer(&session)
        #expect(actions.contains(.sendToBackend(Command(.retr, "file"))))
        #expect(!actions.contains(farewell))
        // The clock of the 227's moment runs out behind the transfer's start.
        #expect(session.handle(.timerFired(.drain)) == [])
    }

    @Test func aTransferEndsBeforeItsSessionDoes() {
        var session = loggedIn()
        _ = startTransfer(&session)
        #expect(session.handle(.drainRequested) == [])
        _ = session.handle(.backendSent(Reply(150, "Here it comes.")))
        _ = session.handle(.dataEnded(.completed(bytes: 9)))
        let done = Reply(226, "Transfer complete.")
        let actions = session.handle(.backendSent(done))
        #expect(actions.contains(.replyToClient(done)))
        #expect(actions.last == .setTimer(.drain))
        #expect(session.handle(.timerFired(.drain)) == [farewell, .close(.shutdown)])
    }

    @Test func everyCommandStartsTheMomentAnew() {
        var session = loggedIn()
        _ = session.handle(.drainRequested)
        #expect(!session.handle(.clientSent(Command(.noop))).contains(.setTimer(.drain)))
        #expect(session.handle(.backendSent(Reply(200, "NOOP ok."))).last == .setTimer(.drain))
    }

    @Test func aHandshakeIsFinishedBeforeTheClientIsToldToGo() {
        var session = Session(
            policy: SharedPolicy(SessionPolicy()), facts: Session.Facts(client: client, isImplicit: true, passiveAddress: nil))
        _ = session.handle(.accepted)
        #expect(session.handle(.drainRequested) == [])
        #expect(session.handle(.clientSecured).contains(.setTimer(.drain)))
        #expect(session.handle(.timerFired(.drain)) == [farewell, .close(.shutdown)])
    }
}
