import Testing

@testable import Gateway

/// `--max-handshake-rate`, on a clock of the test's own.
@Suite struct AcceptPaces {
    /// Who always has clients waiting: how many begin in so long.
    private func begun(_ pace: inout AcceptPace, from start: Duration, for time: Duration, step: Duration? = nil) -> Int {
        var (now, count) = (start, 0)
        while now < start + time {
            if let delay = pace.delay(at: now) {
                // A loop's clock is coarse: it wakes late, never early.
                now += max(delay, step ?? delay)
            } else {
                pace.take()
                count += 1
            }
        }
        return count
    }

    @Test(arguments: [1, 7, 50, 400, 5000], [nil, 1, 13] as [Int?])
    func theRateIsHeld(rate: Int, step: Int?) {
        var pace = AcceptPace(perSecond: rate, now: .zero)
        let count = begun(&pace, from: .zero, for: .seconds(10), step: step.map { .milliseconds($0) })
        #expect(Double(count) >= Double(rate * 10) * 0.99 - 1)
        #expect(Double(count) <= Double(rate * 10) * 1.01 + 1)
    }

    @Test func aPauseSavesUpATenthOfASecond() {
        var pace = AcceptPace(perSecond: 100, now: .zero)
        #expect(pace.delay(at: .seconds(60)) == nil)
        for _ in 0..<10 {
            #expect(pace.delay(at: .seconds(60)) == nil)
            pace.take()
        }
        #expect(pace.delay(at: .seconds(60)) == .milliseconds(10))
    }

    @Test func noLimitIsNone() {
        var pace = AcceptPace(perSecond: 0, now: .zero)
        for _ in 0..<100_000 {
            #expect(pace.delay(at: .zero) == nil)
            pace.take()
        }
    }

    @Test func anotherRateCountsFromNowOn() {
        var pace = AcceptPace(perSecond: 10, now: .zero)
        #expect(begun(&pace, from: .zero, for: .seconds(2)) <= 21)
        pace.use(perSecond: 1000, at: .seconds(2))
        let count = begun(&pace, from: .seconds(2), for: .seconds(1))
        #expect((980...1020).contains(count))
        pace.use(perSecond: 0, at: .seconds(3))
        #expect(pace.delay(at: .seconds(3)) == nil)
    }
}
