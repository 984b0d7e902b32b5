import Gateway
import Synchronization
import System
import TLS
import Telemetry

/// Reads the configuration at the start, and again for each reload, from the same flags and the same environment.
final class ConfigurationSource: Sendable {
    private let given: GivenFlags
    private let environment: [String: String]
    /// Made with the first configuration, and kept.
    private let store = Mutex<SessionStore?>(nil)
    /// What the files said when they were last read.
    private let digest = Mutex(0)

    init(_ given: GivenFlags, environment: [String: String]) {
        self.given = given
        self.environment = environment
    }

    /// Tells every mistake on standard error, and throws the exit status.
    func first() throws -> LoadedConfiguration {
        do throws(ConfigurationProblems) {
            return try read()
        } catch {
            for problem in error.problems { Process.complain("ftpsgate: \(problem)") }
            throw ExitStatus.misconfigured
        }
    }

    private func read() throws(ConfigurationProblems) -> LoadedConfiguration {
        let loaded = try LoadedConfiguration(given, environment: environment, makesFiles: true, store: store.withLock { $0 })
        store.withLock { $0 = loaded.store }
        return loaded
    }

    /// - Parameter first: what the gateway starts with.
    func reloading(_ first: LoadedConfiguration, _ log: EventLog) -> ReloadSource {
        let files = Mutex(first.files)
        let digested = FileDigest.of(first.files)
        digest.withLock { $0 = digested }
        return ReloadSource(
            load: { always in
                let now = FileDigest.of(files.withLock { $0 })
                let isNew = self.digest.withLock { digest in
                    defer { digest = now }
                    return digest != now
                }
                guard always || isNew else { return .unchanged }
                do throws(ConfigurationProblems) {
                    let loaded = try self.read()
                    files.withLock { $0 = loaded.files }
                    let digested = FileDigest.of(loaded.files)
                    self.digest.withLock { $0 = digested }
                    loaded.identities.measureExpiry(log)
                    return .loaded(loaded.gateway, folders: loaded.folders)
                } catch {
                    return .refused(error.problems.map(\.description))
                }
            },
            folders: first.folders, interval: first.choices.reloadInterval)
    }
}

extension LoadedConfiguration {
    /// Where changes lead to a reload.
    fileprivate var folders: Set<String> { choices.watchesFiles ? FileDigest.folders(of: files) : [] }
}
