import Glibc
import Testing

@testable import NetIO

struct EventLoopTests {
    /// A relay that never blocks wakes itself for ever: timers, accepts and ABOR must have their turn beside it.
    @Test func anEventThatWakesItselfStarvesNoTimer() throws {
        let loop = try EventLoop()
        let (transport, _) = try transportPair(loop)
        var turns = 0
        var timerFired = false
        let timer = LoopTimer(loop: loop) {
            timerFired = true
            loop.stop()
        }
        timer.start(after: .milliseconds(10))
        let giveUp = loop.now + .seconds(5)
        transport.onReady = { [unowned transport] in
            turns += 1
            loop.now < giveUp ? transport.wake() : loop.stop()
        }
        transport.wake()
        loop.run()
        #expect(timerFired)
        #expect(turns > 1)
    }

    @Test func anEventThatWakesItselfStarvesNoOtherConnection() throws {
        let loop = try EventLoop()
        let (busy, _) = try transportPair(loop)
        let (quiet, peer) = try transportPair(loop)
        let giveUp = loop.now + .seconds(5)
        busy.onReady = { [unowned busy] in loop.now < giveUp ? busy.wake() : loop.stop() }
        var received: [UInt8] = []
        quiet.onReady = { [unowned quiet] in
            received += quiet.receiveAll().0
            if !received.isEmpty { loop.stop() }
        }
        busy.wake()
        quiet.wake()
        let timer = LoopTimer(loop: loop) { peer.send([1, 2, 3]) }
        timer.start(after: .milliseconds(5))
        loop.run()
        #expect(received == [1, 2, 3])
    }

    @Test func whatIsPostponedRunsOnceInOrderAndOutsideOfTheCaller() throws {
        let loop = try EventLoop()
        var order: [Int] = []
        loop.later {
            order.append(1)
            loop.later { order.append(3) }
            #expect(order == [1])
        }
        loop.later { order.append(2) }
        #expect(order.isEmpty)
        #expect(loop.run(until: { order.count == 3 }))
        #expect(order == [1, 2, 3])
    }

    @Test func stoppingEndsTheRunAndItCanRunAgain() throws {
        let loop = try EventLoop()
        for _ in 0..<3 {
            let timer = LoopTimer(loop: loop) { loop.stop() }
            timer.start(after: .milliseconds(1))
            loop.run()
        }
    }

    @Test func theClockGoesForward() throws {
        let loop = try EventLoop()
        let first = loop.now
        let timer = LoopTimer(loop: loop) { loop.stop() }
        timer.start(after: .milliseconds(20))
        loop.run()
        #expect(loop.now - first >= .milliseconds(10))
    }
}
