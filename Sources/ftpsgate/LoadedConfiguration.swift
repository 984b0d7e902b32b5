import Gateway
import PKI
import System
import TLS

/// Flags, environment, file and certificates, all read and judged.
struct LoadedConfiguration {
    let choices: Choices
    let identities: Identities
    let gateway: GatewayConfiguration
    let ignoredVariables: [String]
    /// What every file and folder said whose contents counted.
    let digests: [String: FileDigest]

    /// Tells every mistake on standard error, and throws the exit status.
    init(_ given: GivenFlags, makesFiles: Bool) throws {
        do throws(ConfigurationProblems) {
            try self.init(given, environment: Process.environment, makesFiles: makesFiles)
        } catch {
            for problem in error.problems { Process.complain("ftpsgate: \(problem)") }
            throw ExitStatus.misconfigured
        }
    }

    /// The sessions that can be resumed.
    let store: SessionStore

    /// - Parameters:
    ///   - running: what is to be replaced. Its sessions can be resumed, and what has not changed of it is taken over.
    ///   - now: what its files say now.
    init(
        _ given: GivenFlags, environment: [String: String], makesFiles: Bool,
        replacing running: LoadedConfiguration? = nil, _ now: [String: FileDigest] = [:]
    ) throws(ConfigurationProblems) {
        // Each file is looked at before it is read: what changes in between is then read once more, and not missed.
        var digests: [String: FileDigest] = [:]
        func look(at file: String) { digests[file] = now[file] ?? FileDigest(file) }
        let settings = Settings(given: given, environment: environment) { file in
            look(at: file)
            return TextFile.read(file)
        }
        var reader = SettingsReader(settings)
        var choices = Choices(&reader)
        choices.useTrustedAuthorities(of: environment, makesFiles: makesFiles && reader.problems.isEmpty)
        choices.files.forEach(look)
        choices.readCertificateLogins(&reader)
        self.choices = choices
        ignoredVariables = settings.ignored
        var problems = reader.problems
        do throws(ConfigurationProblems) {
            identities = try Identities(
                choices, environment: environment, makesFiles: makesFiles && problems.isEmpty, running: running?.identities, now)
            do throws(TLSConfigurationError) {
                let source = try choices.ticketKeySource(environment, makesFiles: makesFiles && problems.isEmpty)
                let store =
                    running?.store
                    ?? SessionStore(
                        ticketKeys: TicketKeys(source, rotation: choices.ticketRotation, lifetime: choices.tls.sessionLifetime))
                let context = try TLSContext(
                    policy: choices.tls, identities: identities.identities, store: store, replacing: running?.gateway.tls)
                gateway = choices.configuration(context)
                self.store = store
                if problems.isEmpty { store.ticketKeys.use(source) }
            } catch {
                throw ConfigurationProblems([ConfigurationProblem("TLS", "", sentence: error.description)])
            }
        } catch {
            problems += error.problems
            throw ConfigurationProblems(problems)
        }
        guard problems.isEmpty else { throw ConfigurationProblems(problems) }
        // The certificates' files are not looked at, but known by the very bytes that were read.
        for (file, digest) in identities.identities.lazy.flatMap(\.said) where digests[file] == nil { digests[file] = digest }
        self.digests = digests
    }
}

extension Choices {
    /// - Parameter makesFiles: keeps a secret in the state directory where no flag names another (DESIGN 3.11.9).
    fileprivate func ticketKeySource(
        _ environment: [String: String], makesFiles: Bool
    ) throws(TLSConfigurationError) -> TicketKeys.Source {
        if let ticketKeysFile { return try .keys(file: ticketKeysFile) }
        if let ticketSecretFile { return try .secret(file: ticketSecretFile) }
        guard makesFiles, let folder = StateDirectory.prepare(stateDirectory, environment: environment) else { return .random }
        return .kept(in: "\(folder)/\(StateDirectory.ticketSecret)")
    }
}
