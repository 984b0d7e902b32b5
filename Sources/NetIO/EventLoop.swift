import CLibevent
import Glibc

/// One thread's loop: readiness, timers, and what is to happen later.
///
/// Everything that hangs on a loop is used on the loop's thread only; others reach it through a `Mailbox`.
public final class EventLoop: Scheduler {
    let base: OpaquePointer  // event_base *
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
