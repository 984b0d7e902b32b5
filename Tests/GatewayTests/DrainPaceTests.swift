import NetIO
import Testing

@testable import Gateway

/// Says the same number every time, as a share of what was asked for.
private final class Fixed: RandomSource {
    let share: Double
    init(_ share: Double) { self.share = share }
    func number(below bound: Int) -> Int { Int(Double(bound - 1) * share) }
}

@Suite struct DrainPaceTests {
    private func grace(_ pace: DrainPace, at now: Duration, share: Double = 0) -> Duration { pace.grace(at: now, Fixed(share)) }

    @Test func aClientHasASecondForItsNextCommand() {
        let pace = DrainPace(began: .seconds(100), limit: .seconds(60), sessions: 1)
        #expect(grace(pace, at: .seconds(100)) == .seconds(1))
        #expect(grace(pace, at: .seconds(144)) == .seconds(1))
    }

    @Test func theLastQuarterIsForWhatRuns() {
        let pace = DrainPace(began: .seconds(100), limit: .seconds(60), sessions: 1000)
        #expect(grace(pace, at: .seconds(146), share: 1) == .milliseconds(1))
    }

    @Test func aShortLimitShortensTheMoment() {
        let pace = DrainPace(began: .zero, limit: .seconds(2), sessions: 1)
        #expect(grace(pace, at: .zero) == .milliseconds(500))
    }

    @Test func manyAreToldOneAfterTheOther() {
        let pace = DrainPace(began: .zero, limit: .seconds(60), sessions: 1000)
        #expect(grace(pace, at: .zero, share: 0) == .seconds(1))
        #expect(grace(pace, at: .zero, share: 1) > .milliseconds(2990))
        #expect(grace(DrainPace(began: .zero, limit: .seconds(60), sessions: 1_000_000), at: .zero, share: 1) < .seconds(16))
    }

    @Test func withoutALimitTheMomentIsTheSame() {
        #expect(grace(DrainPace(began: .zero, limit: .zero, sessions: 1), at: .seconds(86400)) == .seconds(1))
    }
}

@Suite struct HeartbeatTests {
    @Test func itIsFedOnlyWhenAllHaveAnswered() {
        var heart = Heartbeat()
        let first = heart.beat([0, 1])
        heart.answered(0)
        let second = heart.beat([0, 1])
        #expect(first && !second)
        #expect(heart.silent == [1])
        heart.answered(1)
        let third = heart.beat([0, 1])
        #expect(third)
    }

    @Test func aLateAnswerCounts() {
        var heart = Heartbeat()
        _ = heart.beat([0])
        let missed = (heart.beat([0]), heart.beat([0]))
        heart.answered(0)
        let fed = heart.beat([0])
        #expect(missed == (false, false))
        #expect(fed)
    }

    @Test func aWorkerThatHasEndedIsNotWaitedFor() {
        var heart = Heartbeat()
        _ = heart.beat([0, 1])
        heart.answered(0)
        let fed = heart.beat([0])
        #expect(fed)
    }
}
