import Glibc
import Testing

@testable import NetIO

struct WatcherTests {
    @Test func aPausedWatcherIsSilentUntilItResumes() throws {
        let loop = try EventLoop()
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let (reading, writing) = (RawSocket(ends[0]), RawSocket(ends[1]))
        var calls = 0
        let watcher = Watcher(descriptor: reading.descriptor, loop: loop, trigger: .level, [.read]) { readiness in
            #expect(readiness.contains(.read))
            calls += 1
        }
        watcher.pause()
        var byte: UInt8 = 1
        #expect(write(writing.descriptor, &byte, 1) == 1)
        #expect(!loop.run(until: { calls > 0 }, within: .milliseconds(20)))
        watcher.resume()
        #expect(loop.run(until: { calls > 1 }))
    }

    @Test func anEdgeIsToldOnce() throws {
        let loop = try EventLoop()
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let (reading, writing) = (RawSocket(ends[0]), RawSocket(ends[1]))
        var calls = 0
        let watcher = Watcher(descriptor: reading.descriptor, loop: loop, trigger: .edge, [.read]) { _ in calls += 1 }
        var byte: UInt8 = 1
        #expect(write(writing.descriptor, &byte, 1) == 1)
        #expect(loop.run(until: { calls > 0 }))
        #expect(!loop.run(until: { calls > 1 }, within: .milliseconds(20)))
        withExtendedLifetime(watcher) {}
    }
}
