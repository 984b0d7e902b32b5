import FTPSession
import NetIO

/// A session's clocks, all on one timer of the loop: most are set anew with every command, and nearly none ever runs out.
struct Clocks {
    private var running: [(clock: FTPSession.Timer, deadline: Duration)] = []
    private var alarm: (any NetIO.Timer)?
    /// What the alarm is set to; no later than the first deadline.
    private var alarmTime: Duration?

    /// Starts the clock, anew where it runs.
    /// - Parameter makeAlarm: called once; what the alarm does is `rang`, and then `takeDue` until there is none.
    mutating func start(
        _ clock: FTPSession.Timer, limit: Duration, _ scheduler: any Scheduler, _ makeAlarm: () -> any NetIO.Timer
    ) {
        let deadline = scheduler.now + limit
        if let index = running.firstIndex(where: { $0.clock == clock }) {
            running[index].deadline = deadline
        } else {
            running.append((clock, deadline))
        }
        if alarm == nil { alarm = makeAlarm() }
        setAlarm(deadline, after: limit)
    }

    mutating func cancel(_ clock: FTPSession.Timer) {
        if let index = running.firstIndex(where: { $0.clock == clock }) { running.remove(at: index) }
    }

    mutating func cancelAll() {
        running = []
        alarm?.cancel()
        alarmTime = nil
    }

    mutating func rang() { alarmTime = nil }

    /// A clock that has run out, first come first; nil when there is none, and the alarm is set for the next.
    mutating func takeDue(_ scheduler: any Scheduler) -> FTPSession.Timer? {
        guard let first = running.min(by: { $0.deadline < $1.deadline }) else { return nil }
        let left = first.deadline - scheduler.now
        guard left <= .zero else {
            setAlarm(first.deadline, after: left)
            return nil
        }
        cancel(first.clock)
        return first.clock
    }

    /// An alarm that comes before the deadline looks for the next one: cheaper than moving it with every command.
    private mutating func setAlarm(_ time: Duration, after delay: Duration) {
        if let alarmTime, alarmTime <= time { return }
        alarmTime = time
        alarm?.start(after: delay)
    }
}
