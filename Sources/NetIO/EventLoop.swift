import CLibevent
import CLinux
import Glibc

/// One thread's loop: readiness, timers, and what is to happen later.
///
/// Everything that hangs on a loop is used on the loop's thread only; others reach it through a `Mailbox`.
public final class EventLoop: Scheduler {
    let base: OpaquePointer  // event_base *
    /// What is to happen in the next turn, in this order.
    private var postponed: [() -> Void] = []
    /// Empty, with room.
    private var spare: [() -> Void] = []
    /// Work that moves much, first come first.
    private var bulk: [() -> Void] = []
    private var timers = Deadlines<LoopTimer>()
    /// The one event of all timers.
    private var alarm: OpaquePointer?  // event *
    /// What the alarm is set to; no later than the first deadline.
    private var alarmTime: Duration?
    private var isStopped = false

    /// What bulk work has of a turn, at least; more where the rest of the turn took longer.
    private static let bulkShare: Duration = .microseconds(500)

    /// Before libevent's first block.
    private static let allocator: Void = event_set_mem_functions(
        ftpsgate_apart_malloc, ftpsgate_apart_realloc, ftpsgate_apart_free)

    public init() throws(SystemError) {
        _ = Self.allocator
        let config = event_config_new()
        defer { event_config_free(config) }
        event_config_set_flag(config, Int32(EVENT_BASE_FLAG_NOLOCK.rawValue))
        guard let base = event_base_new_with_config(config) else { throw SystemError("event loop") }
        self.base = base
        alarm = event_new(
            base, -1, 0,
            { _, _, context in Unmanaged<EventLoop>.fromOpaque(context!).takeUnretainedValue().ring() },
            Unmanaged.passUnretained(self).toOpaque())
    }

    deinit {
        event_free(alarm)
        event_base_free(base)
    }

    /// Runs until `stop`.
    ///
    /// A turn is: all that is ready, then what was postponed, then bulk work for about as long as the rest took. So timers,
    /// accepts and ABOR wait for a moment of bulk work, however many relays are busy; and bulk work has half of the time,
    /// however many commands there are. Nothing activates a libevent event by hand: libevent would never poll again.
    public func run() {
        isStopped = false
        while !isStopped {
            let began = now
            let hasWork = !postponed.isEmpty || !bulk.isEmpty
            event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY | EVLOOP_ONCE | (hasWork ? EVLOOP_NONBLOCK : 0))
            runPostponed()
            guard !bulk.isEmpty else { continue }
            let polled = now
            // Without work the loop has slept: that is no measure.
            runBulk(until: polled + max(Self.bulkShare, hasWork ? polled - began : .zero))
        }
    }

    /// Two lists take turns, and keep their room.
    private func runPostponed() {
        if postponed.isEmpty { return }
        var jobs = spare
        spare = []
        swap(&jobs, &postponed)
        for job in jobs { job() }
        jobs.removeAll(keepingCapacity: jobs.count <= Self.keptJobs)
        spare = jobs
    }

    private static let keptJobs = 256

    private func runBulk(until deadline: Duration) {
        var done = 0
        while done < bulk.count, !isStopped {
            let job = bulk[done]
            done += 1
            job()
            if now >= deadline { break }
        }
        bulk.removeFirst(done)
    }

    /// Ends `run` after the current callback.
    public func stop() {
        isStopped = true
        event_base_loopbreak(base)
    }

    public var now: Duration {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    /// The time of day, in seconds since 1970.
    public static var wallClock: Int64 { Int64(time(nil)) }

    // MARK: - Timers

    func start(_ timer: LoopTimer, after delay: Duration) {
        let deadline = now + max(delay, .zero)
        timers.set(timer, deadline)
        setAlarm(deadline, after: delay)
    }

    func cancel(_ timer: LoopTimer) { timers.remove(timer) }

    /// An alarm that comes before the first deadline looks for the next one: cheaper than moving it whenever a deadline moves.
    private func setAlarm(_ time: Duration, after delay: Duration) {
        if let alarmTime, alarmTime <= time { return }
        alarmTime = time
        let (seconds, attoseconds) = max(delay, .zero).components
        // A microsecond more: an alarm that comes too early has to be set again.
        var interval = timeval(tv_sec: Int(seconds), tv_usec: min(Int(attoseconds / 1_000_000_000_000) + 1, 999_999))
        event_add(alarm, &interval)
    }

    private func ring() {
        alarmTime = nil
        // What is started from here on has its turn in a later one, or a timer without delay would keep the loop for itself.
        let time = now
        while let timer = timers.takeDue(at: time) { timer.fire() }
        if let first = timers.first { setAlarm(first, after: first - now) }
    }

    public func makeTimer(_ onFire: @escaping () -> Void) -> any Timer {
        LoopTimer(loop: self, onFire)
    }

    public func later(_ body: @escaping () -> Void) { postponed.append(body) }

    public func afterOthers(_ body: @escaping () -> Void) { bulk.append(body) }
}
