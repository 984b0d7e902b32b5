import NetIO

/// What the accepting thread knows of a worker.
struct WorkerHandle {
    let mailbox: Mailbox<WorkerMessage>
    var isDrained = false
    var hasEnded = false
}
