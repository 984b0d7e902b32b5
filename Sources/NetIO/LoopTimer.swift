import CLibevent
import Glibc

/// One timer on a loop; fires once per start.
public final class LoopTimer: Timer {
    private var event: OpaquePointer?  // event *
    private let onFire: () -> Void

    public init(loop: EventLoop, _ onFire: @escaping () -> Void) {
        self.onFire = onFire
        event = event_new(
            loop.base, -1, 0,
            { _, _, context in
                let timer = Unmanaged<LoopTimer>.fromOpaque(context!).takeUnretainedValue()
                timer.onFire()
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit { event_free(event) }

    public func start(after delay: Duration) {
        let (seconds, attoseconds) = delay.components
        var time = timeval(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
        event_add(event, &time)
    }

    public func cancel() { event_del(event) }
}
