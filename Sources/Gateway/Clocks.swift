import FTPSession
import NetIO

/// A session's clocks, all on one timer of the loop: most are set anew with every command, and nearly none ever runs out.
final class Clocks {
    private let scheduler: any Scheduler
    private let onFire: (FTPSession.Timer) -> Void
    private var running: [(clock: FTPSession.Timer, deadline: Duration)] = []
    private var alarm: (any NetIO.Timer)?
    /// What the alarm is set to; no later than the first deadline.
    private var alarmTime: Duration?

    init(_ scheduler: any Scheduler, onFire: @escaping (FTPSession.Timer) -> Void) {
        self.scheduler = scheduler
        self.onFire = onFire
    }

    /// Starts the clock, anew where it runs.
    func start(_ clock: FTPSession.Timer, limit: Duration) {
        let deadline = scheduler.now + limit
        if let index = running.firstIndex(where: { $0.clock == clock }) {
            running[index].deadline = deadline
        } else {
            running.append((clock, deadline))
        }
        setAlarm(deadline, after: limit)
    }

    func cancel(_ clock: FTPSession.Timer) {
        if let index = running.firstIndex(where: { $0.clock == clock }) { running.remove(at: index) }
    }

    func cancelAll() {
        running = []
        alarm?.cancel()
        alarmTime = nil
    }

    /// An alarm that comes before the deadline looks for the next one: cheaper than moving it with every command.
    private func setAlarm(_ time: Duration, after delay: Duration) {
        if let alarmTime, alarmTime <= time { return }
        if alarm == nil { alarm = scheduler.makeTimer { [unowned self] in ring() } }
        alarmTime = time
        alarm?.start(after: delay)
    }

    private func ring() {
        alarmTime = nil
        // Whoever is called may start and cancel clocks.
        while let first = running.min(by: { $0.deadline < $1.deadline }) {
            let left = first.deadline - scheduler.now
            guard left <= .zero else { return setAlarm(first.deadline, after: left) }
            cancel(first.clock)
            onFire(first.clock)
        }
    }
}
