/// One timer on a loop; fires once per start.
///
/// It has no event of its own: a loop's timers share one (`EventLoop.start`), and most never fire.
public final class LoopTimer: Timer, Timed {
    var place: Int32 = -1
    private let loop: EventLoop
    private let onFire: () -> Void

    public init(loop: EventLoop, _ onFire: @escaping () -> Void) {
        self.loop = loop
        self.onFire = onFire
    }

    deinit { loop.cancel(self) }

    public func start(after delay: Duration) { loop.start(self, after: delay) }

    public func cancel() { loop.cancel(self) }

    func fire() { onFire() }
}
