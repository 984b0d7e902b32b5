import FTPSession
import NetIO

/// A session's clocks, all on one timer of the loop: an idle session has room for one.
struct Clocks {
    private var running: [(clock: FTPSession.Timer, deadline: Duration)] = []
    private var alarm: (any NetIO.Timer)?

    /// Starts the clock, anew where it runs.
    /// - Parameter makeAlarm: called once; what the alarm does is `takeDue`, until there is none.
    mutating func start(
        _ clock: FTPSession.Timer, limit: Duration, _ scheduler: any Scheduler, _ makeAlarm: () -> any NetIO.Timer
    ) {
        let now = scheduler.now
        if let index = running.firstIndex(where: { $0.clock == clock }) {
            running[index].deadline = now + limit
        } else {
            running.append((clock, now + limit))
        }
        if alarm == nil { alarm = makeAlarm() }
        setAlarm(now)
    }

    /// The alarm may come before the deadline that is then the first.
    mutating func cancel(_ clock: FTPSession.Timer) {
        if let index = running.firstIndex(where: { $0.clock == clock }) { running.remove(at: index) }
    }

    mutating func cancelAll() {
        running = []
        alarm?.cancel()
    }

    /// A clock that has run out, first come first; nil when there is none, and the alarm is set for the next.
    mutating func takeDue(_ scheduler: any Scheduler) -> FTPSession.Timer? {
        let now = scheduler.now
        guard let first, first.deadline <= now else {
            setAlarm(now)
            return nil
        }
        cancel(first.clock)
        return first.clock
    }

    private var first: (clock: FTPSession.Timer, deadline: Duration)? { running.min { $0.deadline < $1.deadline } }

    private func setAlarm(_ now: Duration) {
        if let first { alarm?.start(after: first.deadline - now) }
    }
}
