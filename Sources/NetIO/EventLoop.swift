import CLibevent
import CLinux
import Glibc
import Synchronization

/// One thread's loop: readiness, timers, and work handed in from other threads.
///
/// Everything that hangs on a loop is used on the loop's thread only; `submit` alone may be called from others, through the
/// loop's `Mailbox`.
public final class EventLoop: Scheduler {
    let base: OpaquePointer  // event_base *
    public let mailbox: Mailbox
    private var mailWatcher: Watcher?
    private var postponed: [() -> Void] = []
    private var postponedEvent: OpaquePointer?  // event *

    public init() throws(SystemError) {
        let config = event_config_new()
        defer { event_config_free(config) }
        event_config_set_flag(config, Int32(EVENT_BASE_FLAG_NOLOCK.rawValue))
        // Without this a relay that re-activates itself keeps the loop from ever polling again: timers, accepts and ABOR
        // would wait until the transfer is over.
        event_config_set_max_dispatch_interval(config, nil, 16, 0)
        guard let base = event_base_new_with_config(config) else { throw SystemError("event loop") }
        self.base = base
        self.mailbox = try Mailbox()
        mailWatcher = Watcher(descriptor: mailbox.descriptor, loop: self, trigger: .level, [.read]) { [unowned self] _ in
            for job in mailbox.take() { job(self) }
        }
        postponedEvent = event_new(
            base, -1, 0,
            { _, _, context in
                let loop = Unmanaged<EventLoop>.fromOpaque(context!).takeUnretainedValue()
                let jobs = loop.postponed
                loop.postponed = []
                for job in jobs { job() }
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit {
        mailWatcher = nil
        if let postponedEvent { event_free(postponedEvent) }
        event_base_free(base)
    }

    /// Runs until `stop`.
    public func run() {
        event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY)
    }

    /// Ends `run` after the current callback.
    public func stop() {
        event_base_loopbreak(base)
    }

    public var now: Duration {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    public func makeTimer(_ onFire: @escaping () -> Void) -> any Timer {
        LoopTimer(loop: self, onFire)
    }

    public func later(_ body: @escaping () -> Void) {
        postponed.append(body)
        if postponed.count == 1 { event_active(postponedEvent, 0, 0) }
    }
}

/// Work for a loop, put in by any thread and done on the loop's.
public final class Mailbox: Sendable {
    public typealias Job = @Sendable (EventLoop) -> Void
    private let jobs = Mutex<[Job]>([])
    let descriptor: Int32  // eventfd

    init() throws(SystemError) {
        descriptor = ftpsgate_eventfd()
        guard descriptor >= 0 else { throw SystemError("eventfd") }
    }

    deinit { close(descriptor) }

    public func submit(_ job: @escaping Job) {
        jobs.withLock { $0.append(job) }
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    func take() -> [Job] {
        var counter: UInt64 = 0
        _ = read(descriptor, &counter, 8)
        return jobs.withLock { jobs in
            defer { jobs = [] }
            return jobs
        }
    }
}
