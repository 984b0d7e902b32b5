import NetIO
import Synchronization
import Telemetry
import TestSupport
import Testing

@testable import Gateway

@Suite struct ReloaderTests {
    private final class Looks: Sendable {
        let all = Mutex<[Bool]>([])
    }

    /// Between the start's reading and the watching there may be seconds.
    @Test func filesAreLookedAtOnceTheyAreWatched() throws {
        let (folder, loop, looks) = (TemporaryFolder(), try EventLoop(), Looks())
        let source = ReloadSource(
            load: { always in
                looks.all.withLock { $0.append(always) }
                return .unchanged
            }, folders: [folder.path], interval: .zero)
        let reloader = try Reloader(source, loop: loop, log: CapturedLog().eventLog, onBegun: {}, onOver: { _ in })
        var tick: LoopTimer?
        tick = LoopTimer(loop: loop) {
            if looks.all.withLock({ $0.isEmpty }) { tick?.start(after: .milliseconds(10)) } else { loop.stop() }
        }
        tick?.start(after: .milliseconds(10))
        let limit = LoopTimer(loop: loop) { loop.stop() }
        limit.start(after: .seconds(10))
        loop.run()
        #expect(looks.all.withLock { $0 } == [false])
        tick = nil
        withExtendedLifetime(reloader) {}
    }
}
