/// Whether every worker's loop still turns: each is asked, and all must have answered before the service manager's watchdog is
/// fed and they are asked again. A loop that is stuck starves it.
struct Heartbeat {
    private var unanswered: Set<Int> = []

    /// - Parameter workers: those that run now.
    /// - Returns: whether all workers that were asked the last time have answered, or have ended since; then all are to be asked anew.
    mutating func beat(_ workers: [Int]) -> Bool {
        unanswered.formIntersection(workers)
        guard unanswered.isEmpty else { return false }
        unanswered = Set(workers)
        return true
    }

    mutating func answered(_ worker: Int) { unanswered.remove(worker) }

    /// Those that have been asked and have not answered.
    var silent: [Int] { unanswered.sorted() }
}
