import Glibc
import Logging
import Synchronization

/// Makes lines of the log's entries and writes them: at once, until a thread of its own does so for all others (`run`).
///
/// Whoever reads the log may be slow, or stand still with the pipe full; no transfer waits for that. What then finds no more room
/// is lost, counted, and told of as soon as a line gets through.
public final class LogWriter: Sendable {
    private struct State {
        var phase = Phase.direct
        var waiting: [LogEntry] = []
        /// Whether the thread has been told that there is something to do.
        var isAwake = false
        /// Lines that are lost, and of which no line tells yet.
        var lost = 0
    }

    private enum Phase {
        /// Each thread writes for itself.
        case direct
        case queueing
        /// The rest is being written.
        case ending
        case ended
    }

    /// Takes bytes, whole lines of them, and says how many; fewer where no more can be taken.
    typealias Output = @Sendable (UnsafeRawBufferPointer) -> Int

    private let format: EventLog.Format
    private let metrics: Metrics
    private let output: Output
    private let state = Mutex(State())
    private let work = Semaphore()

    /// Entries that wait at most: a few megabytes.
    static let limit = 8192
    /// Microseconds from the first entry to its line: those that come meanwhile share the call.
    private static let patience: UInt32 = 5000
    /// In one call.
    private static let usualBytes = 32_768

    init(_ format: EventLog.Format, _ metrics: Metrics, output: @escaping Output = LogWriter.toStandardError) {
        self.format = format
        self.metrics = metrics
        self.output = output
    }

    /// Whether `run` has begun.
    var isQueueing: Bool { state.withLock { $0.phase == .queueing } }

    func take(_ entry: LogEntry) {
        let isQueued = state.withLock { state in
            guard state.phase == .queueing || state.phase == .ending else { return false }
            guard state.waiting.count < Self.limit else {
                state.lost += 1
                metrics.add(.lostLogLines)
                return true
            }
            state.waiting.append(entry)
            if !state.isAwake {
                state.isAwake = true
                work.signal()
            }
            return true
        }
        guard !isQueued else { return }
        var line = Line()
        line.append(entry, format)
        if !write(line) { metrics.add(.lostLogLines) }
    }

    /// Writes what all threads log, until `end`; for a thread that does nothing else.
    public func run() {
        state.withLock { if $0.phase == .direct { $0.phase = .queueing } }
        var batch: [LogEntry] = []
        var lines = Line()
        var untold = 0
        while let lost = wait(for: &batch) {
            untold += lost
            let count = batch.count
            if untold > 0 { batch.append(Self.loss(of: untold)) }
            let (failed, isTold) = write(&batch, count, &lines)
            if failed > 0 { metrics.add(.lostLogLines, by: failed) }
            untold = (isTold ? 0 : untold) + failed
        }
    }

    /// - Returns: how many lines are lost that nobody has been told of; nil at the end.
    private func wait(for batch: inout [LogEntry]) -> Int? {
        let isEnding = state.withLock { $0.phase != .queueing }
        if !isEnding {
            work.wait()
            usleep(Self.patience)
        }
        return state.withLock { state in
            swap(&batch, &state.waiting)
            state.isAwake = false
            if isEnding, batch.isEmpty, state.lost == 0 {
                state.phase = .ended
                return nil
            }
            defer { state.lost = 0 }
            return state.lost
        }
    }

    /// Has all that waits written, and ends `run`. Later lines are written at once.
    /// - Parameter milliseconds: how long at most: it may be that nobody reads any more.
    public func end(within milliseconds: Int) {
        state.withLock { state in
            switch state.phase {
            case .direct: state.phase = .ended
            case .queueing: state.phase = .ending
            case .ending, .ended: break
            }
        }
        work.signal()
        for _ in 0..<milliseconds {
            if state.withLock({ $0.phase == .ended }) { return }
            usleep(1000)
        }
    }

    /// - Parameter count: how many of the batch are events; one more tells of a loss.
    /// - Returns: how many events did not get through, and whether the last line did.
    private func write(_ batch: inout [LogEntry], _ count: Int, _ lines: inout Line) -> (failed: Int, isLastThrough: Bool) {
        var (failed, first, isThrough) = (0, 0, true)
        for (index, entry) in batch.enumerated() {
            lines.append(entry, format)
            guard lines.bytes.count >= Self.usualBytes || index == batch.count - 1 else { continue }
            isThrough = write(lines)
            if !isThrough { failed += min(index + 1, count) - first }
            first = index + 1
            lines.removeAll()
        }
        batch.removeAll(keepingCapacity: true)
        return (failed, isThrough)
    }

    private func write(_ lines: Line) -> Bool { lines.bytes.withUnsafeBytes { output($0) == $0.count } }

    private static func loss(of count: Int) -> LogEntry {
        LogEntry(
            time: LogEntry.now, level: .warning, event: "log.lost",
            fields: [
                "lines": .integer(count),
                "remedy": "what collects the log did not keep up, or the disk was full: look at it, or log less (--log-level)",
            ])
    }

    /// Whole lines: those of two processes never mix, as long as one call takes them.
    @Sendable static func toStandardError(_ bytes: UnsafeRawBufferPointer) -> Int {
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.write(2, rest.baseAddress, rest.count)
            if count > 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            } else if errno == EAGAIN {
                // Somebody has made it non-blocking: it may be a terminal, which has one such state for all.
                var ready = pollfd(fd: 2, events: Int16(POLLOUT), revents: 0)
                poll(&ready, 1, -1)
            } else if errno != EINTR {
                break
            }
        }
        return bytes.count - rest.count
    }
}
