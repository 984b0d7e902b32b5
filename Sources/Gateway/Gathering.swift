/// How many bytes a long transfer's source gathers before it is read: a network brings them in small pieces, and a few large
/// batches cost less than many small ones. Pure.
///
/// More is gathered as long as that takes hardly any time. Where it takes longer, a sender at the other end of a long line would
/// notice that we do not read, and where nothing comes, the bytes that have come would wait for others.
struct Gathering {
    /// In bytes.
    struct Measure {
        /// The least that is worth it, and the most; in between are four times as many from step to step.
        var smallest = 48 * 1024
        var largest = 768 * 1024
        /// Are moved before more are gathered; four times as many each time that it was in vain, up to 64 times.
        var interval = 1024 * 1024
    }

    private static let factor = 4
    /// By then a source that has fallen silent is read all the same.
    static let limit = Duration.milliseconds(10)

    private let measure: Measure
    /// 1 where nothing is gathered.
    private(set) var threshold = 1
    private var moved = 0
    private var interval: Int
    private var waitBegan: Duration?
    /// How long the last wait at this threshold took.
    private var waited = Duration.zero

    init(_ measure: Measure = Measure()) {
        self.measure = measure
        interval = measure.interval
    }

    var isOn: Bool { threshold > 1 }
    var isWaiting: Bool { waitBegan != nil }
    /// Gathering is to take no longer. So much as the most is a good part of what a sender may have on its way, and gathered only
    /// on a fast network, whose lines are short.
    func patience(_ threshold: Int) -> Duration {
        threshold < measure.largest ? .milliseconds(4) : .microseconds(1500)
    }

    /// There is nothing to read now.
    mutating func wait(_ now: @autoclosure () -> Duration) {
        if isOn, waitBegan == nil { waitBegan = now() }
    }

    /// So many bytes were read.
    /// - Returns: whether the threshold is another one from here on.
    mutating func moved(_ count: Int, _ now: @autoclosure () -> Duration) -> Bool {
        moved += count
        if let began = waitBegan {
            waitBegan = nil
            waited = now() - began
            if waited > patience(threshold) {
                change(to: threshold / Self.factor)
                return true
            }
        }
        let more = isOn ? threshold * Self.factor : measure.smallest
        guard more <= measure.largest, moved >= interval, waited * Self.factor <= patience(more) else { return false }
        change(to: more)
        return true
    }

    /// The limit has passed, and the source has not said that it has so much.
    mutating func giveUp() {
        waitBegan = nil
        change(to: 1)
    }

    private mutating func change(to new: Int) {
        threshold = new < measure.smallest ? 1 : new
        if !isOn { interval = min(interval * Self.factor, measure.interval * 64) }
        moved = 0
        waited = .zero
    }
}
