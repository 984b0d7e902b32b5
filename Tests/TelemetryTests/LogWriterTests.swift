import Glibc
import Synchronization
import Testing

@testable import Telemetry

/// What reads the log, and can stand still.
private final class Reader: Sendable {
    private struct State {
        var text = ""
        var calls = 0
        /// What it still takes; nil: everything.
        var room: Int?
    }

    private let state = Mutex(State())
    private let gate = Semaphore()
    private let arrival = Semaphore()
    private let isClosed = Atomic<Bool>(false)

    var calls: Int { state.withLock { $0.calls } }
    /// Without their times, each of which has the same length.
    var lines: [String] {
        state.withLock { $0.text.split(separator: "\n").map { String($0.dropFirst("1970-01-01T00:00:00.007Z ".count)) } }
    }

    func take(_ bytes: UnsafeRawBufferPointer) -> Int {
        arrival.signal()
        if isClosed.load(ordering: .sequentiallyConsistent) { gate.wait() }
        return state.withLock { state in
            state.calls += 1
            let taken = min(bytes.count, state.room ?? bytes.count)
            state.text += String(decoding: bytes.prefix(taken), as: UTF8.self)
            return taken
        }
    }

    func stand() { isClosed.store(true, ordering: .sequentiallyConsistent) }
    /// Until something is to be read.
    func awaitArrival() { arrival.wait() }
    func goOn() {
        isClosed.store(false, ordering: .sequentiallyConsistent)
        gate.signal()
    }
    func limit(to bytes: Int?) { state.withLock { $0.room = bytes } }
}

/// A log, and a thread that writes it.
private final class Running: Sendable {
    let reader = Reader()
    let log: EventLog
    private let thread: Mutex<pthread_t>

    init(level: EventLog.Level = .info) {
        let metrics = Metrics()
        let reader = reader
        let log = EventLog(level: level, metrics: metrics, writer: LogWriter(.text, metrics) { reader.take($0) })
        self.log = log
        thread = Mutex(start { log.writer.run() })
        while !log.writer.isQueueing { usleep(100) }
    }

    func end(within milliseconds: Int = 10_000) { log.writer.end(within: milliseconds) }

    func join() { thread.withLock { _ = pthread_join($0, nil) } }
}

private func start(_ body: @escaping @Sendable () -> Void) -> pthread_t {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let context = Unmanaged.passRetained(Box(body)).toOpaque()
    pthread_create(
        &thread, nil,
        { context in
            Unmanaged<Box>.fromOpaque(context!).takeRetainedValue().body()
            return nil
        }, context)
    return thread
}

@Suite struct LinesOnAThreadOfTheirOwn {
    @Test func allThatWasLoggedIsThereAtTheEndInItsOrder() {
        let running = Running()
        let log = running.log
        let threads = (0..<4).map { thread in
            start { for number in 0..<1000 { log.info("e", ["thread": .integer(thread), "number": .integer(number)]) } }
        }
        for thread in threads { pthread_join(thread, nil) }
        running.end()
        running.join()
        let lines = running.reader.lines
        for thread in 0..<4 {
            let own = lines.filter { $0.hasPrefix("info e thread=\(thread) ") }
            #expect(own == (0..<1000).map { "info e thread=\(thread) number=\($0)" })
        }
        #expect(lines.count == 4000)
        #expect(log.metrics.value(of: .lostLogLines) == 0)
    }

    @Test func linesShareACall() {
        let running = Running()
        for _ in 0..<1000 { running.log.info("e") }
        running.end()
        running.join()
        // A line has 31 bytes, a call 32 KiB.
        #expect(running.reader.calls < 100)
    }

    @Test func aReaderThatStandsStillHoldsNobodyUp() {
        let running = Running()
        running.reader.stand()
        running.log.info("first")
        running.reader.awaitArrival()
        // The thread is stuck. Whoever logs does not notice.
        let more = LogWriter.limit + 100
        for number in 0..<more { running.log.info("e", ["number": .integer(number)]) }
        let lost = running.log.metrics.value(of: .lostLogLines)
        #expect(lost >= 100)
        running.reader.goOn()
        running.end()
        running.join()
        let lines = running.reader.lines
        #expect(lines.filter { $0.hasPrefix("info e number=") } == (0..<(more - lost)).map { "info e number=\($0)" })
        let told = lines.filter { $0.hasPrefix("warning log.lost lines=") }
        #expect(told.count == 1)
        #expect(told.first?.hasPrefix("warning log.lost lines=\(lost) ") == true)
    }

    @Test func theEndWaitsNoLongerThanItMay() {
        let running = Running()
        running.reader.stand()
        running.log.info("first")
        running.reader.awaitArrival()
        running.end(within: 20)
        running.reader.goOn()
        running.join()
        #expect(running.reader.lines.contains("info first"))
    }

    @Test func whatFindsNoRoomOnTheDiskIsToldOfLater() {
        let running = Running()
        running.reader.limit(to: 0)
        for _ in 0..<10 { running.log.info("e") }
        while running.log.metrics.value(of: .lostLogLines) < 10 { usleep(100) }
        running.reader.limit(to: nil)
        running.log.info("again")
        running.end()
        running.join()
        let lines = running.reader.lines
        #expect(!lines.contains("info e"))
        #expect(lines.contains("info again"))
        #expect(lines.contains { $0.hasPrefix("warning log.lost lines=10 ") })
    }

    @Test func afterTheEndLinesAreWrittenAtOnce() {
        let running = Running()
        running.end()
        running.join()
        running.log.info("late")
        #expect(running.reader.lines.last == "info late")
    }
}
