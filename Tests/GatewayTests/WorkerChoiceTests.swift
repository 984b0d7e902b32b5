import NetIO
import Testing

@testable import Gateway

/// Which worker a client goes to.
@Suite struct WorkerChoices {
    private var workers: [WorkerHandle]

    init() throws { workers = try (0..<4).map { _ in WorkerHandle(mailbox: try Mailbox()) } }

    /// As the gateway does it for a client that stays.
    private mutating func take() throws -> Int {
        let index = try #require(workers.nextForSession)
        workers[index].sessions += 1
        return index
    }

    @Test mutating func clientsThatStayGoRound() throws {
        var chosen: [Int] = []
        for _ in 0..<8 { chosen.append(try take()) }
        #expect(chosen == [0, 1, 2, 3, 0, 1, 2, 3])
    }

    /// Long sessions on one worker and short ones elsewhere are what hashing and going round would not see.
    @Test mutating func theOneThatHasTheFewestIsNext() throws {
        for (index, sessions) in [7, 2, 5, 3].enumerated() { workers[index].sessions = sessions }
        var chosen: [Int] = []
        for _ in 0..<11 { chosen.append(try take()) }
        #expect(workers.map(\.sessions) == [7, 7, 7, 7])
        #expect(chosen.prefix(3) == [1, 1, 3])
        #expect(!chosen.contains(0))
        workers[2].sessions -= 1
        #expect(try take() == 2)
    }

    @Test mutating func oneThatHasEndedGetsNone() throws {
        workers[0].hasEnded = true
        workers[1].sessions = 1
        workers[2].sessions = 2
        workers[3].hasEnded = true
        #expect(workers.nextForSession == 1)
        workers[1].hasEnded = true
        #expect(workers.nextForSession == 2)
        workers[2].hasEnded = true
        #expect(workers.nextForSession == nil)
    }
}
