import CLibevent
import Glibc

/// Readiness of one descriptor, from one event that is added once and stays.
///
/// Freed in `deinit`; the callback never runs after that.
public final class Watcher {
    public struct Readiness: OptionSet, Sendable {
        public let rawValue: Int16
        public init(rawValue: Int16) { self.rawValue = rawValue }
        public static let read = Readiness(rawValue: Int16(EV_READ))
        public static let write = Readiness(rawValue: Int16(EV_WRITE))
    }
    public enum Trigger: Sendable { case edge, level }

    private var event: OpaquePointer?  // event *
    private let loop: EventLoop
    var onReady: (Readiness) -> Void

    public init(
        descriptor: Int32, loop: EventLoop, trigger: Trigger, _ interest: Readiness, _ onReady: @escaping (Readiness) -> Void
    ) {
        self.loop = loop
        self.onReady = onReady
        let what = interest.rawValue | Int16(EV_PERSIST) | (trigger == .edge ? Int16(EV_ET) : 0)
        event = event_new(loop.base, descriptor, what, Self.callback, Unmanaged.passUnretained(self).toOpaque())
        resume()
    }

    /// Watches an edge for reading and writing from here on; readiness of before shows as an edge.
    func widen() {
        event_del(event)
        event_assign(
            event, loop.base, event_get_fd(event), Int16(EV_READ | EV_WRITE | EV_PERSIST | EV_ET), Self.callback,
            Unmanaged.passUnretained(self).toOpaque())
        resume()
    }

    private static let callback: event_callback_fn = { _, what, context in
        let watcher = Unmanaged<Watcher>.fromOpaque(context!).takeUnretainedValue()
        watcher.onReady(Readiness(rawValue: what))
    }

    deinit { event_free(event) }

    /// To be called before the descriptor is closed, if it is: the next connection may get the same number, while something
    /// still holds on to this watcher.
    public func pause() { event_del(event) }

    public func resume() {
        let added = event_add(event, nil)
        precondition(added == 0, "an event with a valid descriptor can be added")
    }
}
