import Gateway
import System
import TLS

/// Flags, environment, file and certificates, all read and judged.
struct LoadedConfiguration {
    let choices: Choices
    let identities: Identities
    let gateway: GatewayConfiguration
    let ignoredVariables: [String]
    /// Every file and folder whose contents counted.
    let files: [String]

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

    /// - Parameter store: the running gateway's, so that its sessions can be resumed after a reload.
    init(
        _ given: GivenFlags, environment: [String: String], makesFiles: Bool, store: SessionStore? = nil
    ) throws(ConfigurationProblems) {
        let settings = Settings(given: given, environment: environment)
        var reader = SettingsReader(settings)
        var choices = Choices(&reader)
        choices.useTrustedAuthorities(of: environment, makesFiles: makesFiles && reader.problems.isEmpty)
        choices.readCertificateLogins(&reader)
        self.choices = choices
        ignoredVariables = settings.ignored
        var problems = reader.problems
        do throws(ConfigurationProblems) {
            identities = try Identities(choices, environment: environment, makesFiles: makesFiles && problems.isEmpty)
            do throws(TLSConfigurationError) {
                let source = try choices.ticketKeySource(environment, makesFiles: makesFiles && problems.isEmpty)
                let store =
                    store
                    ?? SessionStore(
                        ticketKeys: TicketKeys(source, rotation: choices.ticketRotation, lifetime: choices.tls.sessionLifetime))
                let context = try TLSContext(policy: choices.tls, identities: identities.identities, store: store)
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
        files = choices.files + identities.files + [settings.file].compactMap { $0 }
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
