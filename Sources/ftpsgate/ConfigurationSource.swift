import Gateway
import Glibc
import PKI
import Synchronization
import System
import TLS
import Telemetry

/// Reads the configuration at the start, and again for each reload, from the same flags and the same environment. A reload takes
/// over what has not changed.
final class ConfigurationSource: Sendable {
    struct State {
        /// What was loaded last.
        var running: LoadedConfiguration?
        /// What its files said when they were last looked at: something else where that could not be taken up.
        var seen: [String: FileDigest] = [:]
        /// Whether files have been looked at since the start read them.
        var hasLooked = false

        /// Whether there is news in what files say now.
        ///
        /// The first look comes right after the start, when root may have been given up (`--user`): what only root may read is no
        /// news then. It is from the next change on: that a reload is refused must be told.
        mutating func takes(_ now: [String: FileDigest]) -> Bool {
            let isFirst = !hasLooked
            hasLooked = true
            let forbidden = FileDigest.unreadable(errno: EACCES)
            guard now.contains(where: { $0.value != seen[$0.key] && !(isFirst && $0.value == forbidden) }) else { return false }
            // For where it is refused: a broken file is told of once, not at every look.
            seen = now
            return true
        }
    }

    private let given: GivenFlags
    private let environment: [String: String]
    private let state = Mutex(State())

    init(_ given: GivenFlags, environment: [String: String]) {
        self.given = given
        self.environment = environment
    }

    /// Tells every mistake on standard error, and throws the exit status.
    func first() throws -> LoadedConfiguration {
        do throws(ConfigurationProblems) {
            return try load()
        } catch {
            for problem in error.problems { Process.complain("ftpsgate: \(problem)") }
            throw ExitStatus.misconfigured
        }
    }

    private func load(now: [String: FileDigest] = [:]) throws(ConfigurationProblems) -> LoadedConfiguration {
        let running = state.withLock { $0.running }
        let loaded = try LoadedConfiguration(given, environment: environment, makesFiles: true, replacing: running, now)
        state.withLock { ($0.running, $0.seen) = (loaded, loaded.digests) }
        return loaded
    }

    /// - Parameter first: what the gateway starts with.
    func reloading(_ first: LoadedConfiguration, _ log: EventLog) -> ReloadSource {
        ReloadSource(
            load: { always in self.reload(always, log) }, folders: first.folders, interval: first.choices.reloadInterval)
    }

    /// The files are read once for all, and then those that changed once more.
    private func reload(_ always: Bool, _ log: EventLog) -> ReloadSource.Outcome {
        let seen = state.withLock { $0.seen }
        let now = Dictionary(uniqueKeysWithValues: seen.keys.map { ($0, FileDigest($0)) })
        guard state.withLock({ $0.takes(now) }) || always else { return .unchanged }
        do throws(ConfigurationProblems) {
            let loaded = try load(now: now)
            loaded.identities.measureExpiry(log)
            return .loaded(loaded.gateway, folders: loaded.folders)
        } catch {
            return .refused(error.problems.map(\.description))
        }
    }
}

extension LoadedConfiguration {
    /// Where changes lead to a reload.
    fileprivate var folders: Set<String> { choices.watchesFiles ? FileDigest.folders(of: digests.keys) : [] }
}
