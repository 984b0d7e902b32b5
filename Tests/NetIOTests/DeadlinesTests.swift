import Testing

@testable import NetIO

@Suite struct DeadlinesTests {
    private final class Member: Timed {
        var place: Int32 = -1
    }

    /// SplitMix64: the same numbers for the same seed.
    private struct Dice: RandomNumberGenerator {
        var seed: UInt64
        mutating func next() -> UInt64 {
            seed &+= 0x9e37_79b9_7f4a_7c15
            var mixed = (seed ^ seed >> 30) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
            return mixed ^ mixed >> 31
        }
    }

    /// Against a list that is searched.
    @Test(arguments: 0..<50 as Range<UInt64>) func theyComeInOrderWhateverIsMovedAndTakenOut(_ seed: UInt64) {
        var dice = Dice(seed: seed)
        var deadlines = Deadlines<Member>()
        let members = (0..<40).map { _ in Member() }
        var model: [Int: Duration] = [:]
        var time = Duration.zero
        for _ in 0..<2000 {
            let index = Int.random(in: members.indices, using: &dice)
            switch Int.random(in: 0..<10, using: &dice) {
            case 0..<6:
                let deadline = time + .milliseconds(Int.random(in: -5...50, using: &dice))
                deadlines.set(members[index], deadline)
                model[index] = deadline
            case 6..<8:
                deadlines.remove(members[index])
                model[index] = nil
            default:
                time += .milliseconds(Int.random(in: 0...10, using: &dice))
                var last: Duration?
                while let member = deadlines.takeDue(at: time) {
                    let place = members.firstIndex { $0 === member }!
                    let deadline = model.removeValue(forKey: place)
                    #expect(deadline.map { $0 <= time && $0 >= last ?? $0 } == true)
                    #expect(member.place == -1)
                    last = deadline
                }
                #expect(model.values.allSatisfy { $0 > time })
            }
            #expect(deadlines.count == model.count)
            #expect(deadlines.first == model.values.min())
        }
    }

    @Test func aTimerThatGoesIsForgotten() throws {
        let loop = try EventLoop()
        var gone: LoopTimer? = LoopTimer(loop: loop) { Issue.record("it was gone") }
        gone?.start(after: .zero)
        gone = nil
        let last = LoopTimer(loop: loop) { loop.stop() }
        last.start(after: .milliseconds(1))
        loop.run()
    }

    /// A timer may end itself, others, and start itself anew while it is being called.
    @Test func timersChangeEachOtherWhileTheyFire() throws {
        let loop = try EventLoop()
        var fired: [String] = []
        var timers: [String: LoopTimer] = [:]
        timers["again"] = LoopTimer(loop: loop) {
            fired.append("again")
            if fired.count < 3 { timers["again"]?.start(after: .zero) } else { timers["last"]?.start(after: .milliseconds(1)) }
        }
        timers["gone"] = LoopTimer(loop: loop) { fired.append("gone") }
        timers["first"] = LoopTimer(loop: loop) {
            fired.append("first")
            timers["gone"] = nil
            timers["first"] = nil
        }
        timers["last"] = LoopTimer(loop: loop) { loop.stop() }
        timers["first"]?.start(after: .zero)
        timers["gone"]?.start(after: .microseconds(1))
        timers["again"]?.start(after: .microseconds(2))
        loop.run()
        #expect(fired == ["first", "again", "again"])
    }
}
