import Testing

@testable import NetIO

struct LoopTimerTests {
    @Test func itFiresOncePerStart() throws {
        let loop = try EventLoop()
        var fired = 0
        let timer = LoopTimer(loop: loop) { fired += 1 }
        timer.start(after: .milliseconds(1))
        #expect(loop.run(until: { fired == 1 }))
        #expect(!loop.run(until: { fired > 1 }, within: .milliseconds(30)))
        timer.start(after: .milliseconds(1))
        #expect(loop.run(until: { fired == 2 }))
    }

    @Test func startingAgainReplacesTheDeadline() throws {
        let loop = try EventLoop()
        var fired: [Duration] = []
        let began = loop.now
        let timer = LoopTimer(loop: loop) { fired.append(loop.now - began) }
        timer.start(after: .milliseconds(1))
        timer.start(after: .milliseconds(60))
        #expect(loop.run(until: { !fired.isEmpty }))
        #expect(fired.count == 1)
        #expect(fired[0] >= .milliseconds(40))
    }

    @Test func aCancelledTimerAndAFreedOneStaySilent() throws {
        let loop = try EventLoop()
        var fired = false
        let timer = LoopTimer(loop: loop) { fired = true }
        timer.start(after: .milliseconds(1))
        timer.cancel()
        var freed: LoopTimer? = LoopTimer(loop: loop) { fired = true }
        freed?.start(after: .milliseconds(1))
        freed = nil
        #expect(!loop.run(until: { fired }, within: .milliseconds(30)))
    }
}
