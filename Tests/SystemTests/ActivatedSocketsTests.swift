import Glibc
import System
import Testing

/// The variables only: a test process cannot choose its descriptors 3, 4, 5. The real hand-over is an interop test.
@Suite struct ActivatedSocketsTests {
    private func inherited(_ variables: [String: String]) throws(ActivationError) -> [ActivatedSocket] {
        try ActivatedSockets.inherited(environment: variables)
    }

    @Test func withoutTheVariablesThereAreNone() throws {
        #expect(try inherited([:]).isEmpty)
    }

    @Test func socketsOfAnotherProcessAreNotTaken() throws {
        #expect(try inherited(["LISTEN_PID": "1", "LISTEN_FDS": "1"]).isEmpty)
    }

    @Test(arguments: ["", "0", "-1", "two", "257"])
    func aNonsensicalNumberIsRefused(count: String) {
        #expect(throws: ActivationError.self) { try inherited(["LISTEN_PID": "\(getpid())", "LISTEN_FDS": count]) }
    }

    @Test func namesMustBeAsManyAsSockets() throws {
        let error = try #require(throws: ActivationError.self) {
            try inherited(["LISTEN_PID": "\(getpid())", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "ftp"])
        }
        #expect(error.description == "LISTEN_FDNAMES has 1 names, and LISTEN_FDS says 2 sockets.")
    }

    @Test func aDescriptorThatDoesNotListenIsNamed() throws {
        // Whatever descriptor 3 of a test process is, it is no listening TCP socket.
        let error = try #require(throws: ActivationError.self) {
            try inherited(["LISTEN_PID": "\(getpid())", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "ftp"])
        }
        #expect(error.description.contains("\"ftp\" (descriptor 3)"))
    }
}
