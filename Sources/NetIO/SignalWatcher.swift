import CLibevent
import Glibc

/// Calls back on the loop's thread when the process gets a signal. One loop of the process may watch signals.
public final class SignalWatcher {
    public static let terminate = SIGTERM
    public static let interrupt = SIGINT
    public static let hangUp = SIGHUP

    private var event: OpaquePointer?  // event *
    private let onSignal: () -> Void

    public init(_ signal: Int32, loop: EventLoop, _ onSignal: @escaping () -> Void) {
        self.onSignal = onSignal
        event = event_new(
            loop.base, signal, Int16(EV_SIGNAL | EV_PERSIST),
            { _, _, context in
                Unmanaged<SignalWatcher>.fromOpaque(context!).takeUnretainedValue().onSignal()
            }, Unmanaged.passUnretained(self).toOpaque())
        event_add(event, nil)
    }

    deinit { event_free(event) }
}
