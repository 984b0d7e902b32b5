import NetIO

/// What the accepting thread knows of a worker.
struct WorkerHandle {
    let mailbox: Mailbox<WorkerMessage>
    var sessions = 0
    var isDrained = false
    var hasEnded = false
}

extension [WorkerHandle] {
    /// The worker that the next client goes to: the one with the fewest sessions, of several the first; nil where none is left.
    ///
    /// FTP sessions are long: the number of sessions says more of a worker's load than a hash over addresses.
    var nextForSession: Int? {
        indices.filter { !self[$0].hasEnded }.min { self[$0].sessions < self[$1].sessions }
    }
}
