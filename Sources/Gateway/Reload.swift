import NetIO
import Telemetry

/// Reads everything that the operator chose once more. Any thread may call it.
public struct ReloadSource: Sendable {
    public enum Outcome: Sendable {
        /// Nothing that counts is another than the last time.
        case unchanged
        case loaded(GatewayConfiguration, folders: Set<String>)
        /// Something is wrong, in so many sentences.
        case refused([String])
    }

    /// - Parameter always: read even when no file has changed.
    public var load: @Sendable (_ always: Bool) -> Outcome
    /// Where files lie that count; a change in there leads to a reload. Empty: files are not watched.
    public var folders: Set<String>
    /// How often files are looked at besides, where the kernel cannot tell (network file systems); zero: never.
    public var interval: Duration

    public init(load: @escaping @Sendable (_ always: Bool) -> Outcome, folders: Set<String>, interval: Duration) {
        self.load = load
        self.folders = folders
        self.interval = interval
    }
}

/// Reloads on SIGHUP, on a change of files, and at intervals: all or nothing. Files are read on a thread of their own, so that
/// nobody waits for a slow disk.
final class Reloader {
    enum Cause: String {
        case signal
        case files
        case interval
    }

    private let source: ReloadSource
    private let loop: EventLoop
    private let log: EventLog
    private let onBegun: () -> Void
    private let onOver: (GatewayConfiguration?) -> Void
    private let outcomes: Mailbox<ReloadSource.Outcome>
    private var reader: MailboxReader?
    private var watcher: FolderWatcher?
    private var watched: Set<String> = []
    private var settling: LoopTimer?
    private var isSettling = false
    private var retry: LoopTimer?
    private var interval: LoopTimer?
    private var running: Cause?
    private var next: Cause?
    private var retriesLeft = 0

    /// Several files are replaced one after the other.
    private static let settlingTime: Duration = .milliseconds(500)
    /// A certificate may be there before its key: a mismatch gets so many more chances.
    private static let retries = 3
    private static let retryDelay: Duration = .seconds(1)

    /// - Parameters:
    ///   - onBegun: is called when a reload begins that was asked for.
    ///   - onOver: is given what was loaded, or nil where all stays as it was.
    init(
        _ source: ReloadSource, loop: EventLoop, log: EventLog, onBegun: @escaping () -> Void,
        onOver: @escaping (GatewayConfiguration?) -> Void
    ) throws(SystemError) {
        self.source = source
        self.loop = loop
        self.log = log
        self.onBegun = onBegun
        self.onOver = onOver
        outcomes = try Mailbox()
        reader = MailboxReader(outcomes, loop: loop) { [unowned self] in loaded($0) }
        settling = LoopTimer(loop: loop) { [unowned self] in
            isSettling = false
            begin(.files)
        }
        watch(source.folders)
        guard source.interval > .zero else { return }
        interval = LoopTimer(loop: loop) { [unowned self] in
            begin(.interval)
            interval?.start(after: source.interval)
        }
        interval?.start(after: source.interval)
    }

    private func watch(_ folders: Set<String>) {
        guard folders != watched else { return }
        watched = folders
        do throws(SystemError) {
            watcher = try FolderWatcher(folders, loop: loop) { [unowned self] in settle() }
            // For what has changed since the files were read, when nobody watched.
            if !folders.isEmpty { settle() }
        } catch {
            log.warning(
                "reload.not_watching",
                ["reason": .string("\(error)"), "remedy": "send SIGHUP after changes, or set --reload-interval"])
        }
    }

    private func settle() {
        guard !isSettling else { return }
        isSettling = true
        settling?.start(after: Self.settlingTime)
    }

    func begin(_ cause: Cause) {
        guard running == nil else {
            next = cause
            return
        }
        retriesLeft = cause == .signal ? 0 : Self.retries
        if cause == .signal { onBegun() }
        run(cause, always: cause == .signal)
    }

    private func run(_ cause: Cause, always: Bool) {
        running = cause
        let (load, outcomes) = (source.load, outcomes)
        do throws(SystemError) {
            try Thread.start(name: "reload") { outcomes.post(load(always)) }
        } catch {
            loaded(.refused(["\(error)"]))
        }
    }

    private func loaded(_ outcome: ReloadSource.Outcome) {
        guard let cause = running else { return }
        switch outcome {
        case .unchanged: if cause == .signal { onOver(nil) }
        case .loaded(let configuration, let folders):
            watch(folders)
            log.metrics.set(.lastReloadSuccessful, to: 1)
            log.info("reload.done", ["cause": .string(cause.rawValue)])
            onOver(configuration)
        case .refused where retriesLeft > 0:
            retriesLeft -= 1
            let timer = LoopTimer(loop: loop) { [unowned self] in run(cause, always: true) }
            timer.start(after: Self.retryDelay)
            retry = timer
            return
        case .refused(let problems):
            log.metrics.set(.lastReloadSuccessful, to: 0)
            log.error(
                "reload.failed",
                [
                    "cause": .string(cause.rawValue), "reason": .string(problems.joined(separator: " ")),
                    "message": "everything stays as it was",
                ])
            onOver(nil)
        }
        running = nil
        if let next {
            self.next = nil
            begin(next)
        }
    }
}

extension GatewayConfiguration {
    /// This one as far as a running gateway can take it up, and the flags of what it cannot.
    func takenUp(by running: GatewayConfiguration) -> (GatewayConfiguration, needsRestart: [String]) {
        var new = self
        var flags: [String] = []
        func place(_ listener: Listener) -> String { "\(listener.mode) \(listener.host.map { "\($0)" } ?? "*") \(listener.port)" }
        let isInherited = running.listeners.contains { $0.inherited != nil }
        if !isInherited, listeners.map(place) != running.listeners.map(place) { flags.append("--listen") }
        if passivePorts != running.passivePorts { flags.append("--passive-ports") }
        if workers != running.workers { flags.append("--workers") }
        new.listeners = running.listeners
        new.passivePorts = running.passivePorts
        new.workers = running.workers
        return (new, flags)
    }
}
