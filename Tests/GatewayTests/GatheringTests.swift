import Testing

@testable import Gateway

struct GatheringTests {
    private static let mib = 1024 * 1024
    private static let measure = Gathering.Measure()

    /// Moves so many MiB in pieces, each of which was waited for so long.
    private func move(_ gathering: inout Gathering, _ clock: inout Duration, mib: Int, waiting wait: Duration) {
        for _ in 0..<mib * 16 {
            gathering.wait(clock)
            clock += wait
            _ = gathering.moved(Self.mib / 16, clock)
        }
    }

    @Test func nothingIsGatheredOfAShortTransfer() {
        var gathering = Gathering()
        gathering.wait(.zero)
        #expect(!gathering.isWaiting)
        let changed = gathering.moved(Self.mib - 1, .seconds(1))
        #expect(!changed && !gathering.isOn)
    }

    @Test func moreAndMoreAsLongAsItTakesNoTime() {
        var (gathering, thresholds) = (Gathering(), [Int]())
        for _ in 0..<8 where gathering.moved(Self.mib, .zero) { thresholds.append(gathering.threshold) }
        #expect(thresholds == [48 * 1024, 192 * 1024, 768 * 1024])
    }

    @Test(arguments: [(10, 768), (90, 768), (100, 192), (900, 192), (1100, 48), (3900, 48)])
    func noLongerThanPatienceAllows(microseconds: Int, kibibytes: Int) {
        var (gathering, clock) = (Gathering(), Duration.zero)
        // Waits grow with what is waited for.
        for _ in 0..<40 {
            let factor = gathering.threshold / Self.measure.smallest
            gathering.wait(clock)
            clock += .microseconds(microseconds * factor)
            _ = gathering.moved(Self.mib / 2, clock)
        }
        #expect(gathering.threshold == kibibytes * 1024)
    }

    @Test func lessWhenItTakesLong() {
        var (gathering, clock) = (Gathering(), Duration.zero)
        move(&gathering, &clock, mib: 4, waiting: .zero)
        #expect(gathering.threshold == Self.measure.largest)
        for expected in [192 * 1024, 48 * 1024, 1] {
            gathering.wait(clock)
            clock += gathering.patience(gathering.threshold) + .microseconds(1)
            let changed = gathering.moved(1, clock)
            #expect(changed && gathering.threshold == expected)
        }
    }

    @Test func itIsTriedAgainButSeldomer() {
        var (gathering, clock, moved) = (Gathering(), Duration.zero, [Int]())
        for _ in 0..<6 {
            var count = 0
            repeat { count += 1 } while !gathering.moved(Self.mib, clock)
            moved.append(count)
            gathering.wait(clock)
            #expect(gathering.isWaiting)
            gathering.giveUp()
            #expect(!gathering.isOn && !gathering.isWaiting)
            clock += .seconds(1)
        }
        #expect(moved == [1, 4, 16, 64, 64, 64])
    }

    /// While the sink is slow, nobody waits for the source.
    @Test func onlyWaitingCounts() {
        var (gathering, clock) = (Gathering(), Duration.zero)
        for _ in 0..<8 {
            clock += .seconds(5)
            _ = gathering.moved(Self.mib, clock)
        }
        #expect(gathering.threshold == Self.measure.largest)
    }
}
