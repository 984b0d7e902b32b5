import Admin
import ArgumentParser
import Gateway
import NetIO
import PKI
import System
import TLS
import Telemetry
import Wire

/// `ftpsgate serve`: judges the settings, opens the ports, and serves until it is told to stop.
struct ServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Serve until SIGTERM or SIGINT, and then until the running transfers are over.")

    @OptionGroup var flags: Flags

    func run() throws { try Self.run(GivenFlags(flags)) }

    static func run(_ given: GivenFlags) throws {
        Libraries.keepToTheEnd()
        Process.ignoreBrokenPipes()
        Process.raiseDescriptorLimit()
        Privileges.forbidNewPrivileges()
        let start = try Start(given)
        let (choices, log) = (start.choices, start.log)
        log.metrics.set(.build, ["version": Version.number, "openssl": Libraries.openSSL], to: 1)
        let health = Health()
        let admin = try choices.admin.map { try startAdmin(at: $0, health, log) }
        let ending = try serve(start, health, admin) { try giveUpRoot(choices, log) }
        if ending == .forced { throw ExitStatus.failed }
    }

    /// What the gateway starts with, read, judged, and told of.
    private struct Start {
        let choices: Choices
        let log: EventLog
        let gateway: OneUse<GatewayConfiguration>
        let reload: ReloadSource

        init(_ given: GivenFlags) throws {
            let source = ConfigurationSource(given, environment: Process.environment)
            let loaded = try source.first()
            choices = loaded.choices
            log = EventLog(level: choices.logLevel, format: choices.logFormat)
            if !loaded.ignoredVariables.isEmpty {
                log.warning(
                    "environment.ignored",
                    ["variables": .string(loaded.ignoredVariables.joined(separator: " ")), "message": "No flag has such a name."])
            }
            loaded.identities.report(to: log)
            log.metrics.set(.tlsLegacy, to: choices.tls.isLegacy ? 1 : 0)
            if choices.tls.isLegacy {
                log.warning(
                    "tls.legacy",
                    [
                        "message":
                            "TLS 1.0, 1.1 and ciphers without forward secrecy are on; take --tls-legacy away as soon as you can."
                    ])
            }
            Self.tellOfKernelTLS(choices, log)
            var gateway = loaded.gateway
            do throws(ConfigurationProblems) {
                gateway.listeners = try ActivatedListeners.resolve(gateway.listeners, log)
            } catch {
                for problem in error.problems { Process.complain("ftpsgate: \(problem)") }
                throw ExitStatus.misconfigured
            }
            self.gateway = OneUse(gateway)
            reload = source.reloading(loaded, log)
        }

        private static func tellOfKernelTLS(_ choices: Choices, _ log: EventLog) {
            guard choices.ktls != .off else { return }
            if let absence = choices.ktlsAbsence {
                log.info("ktls.absent", ["detail": .string("\(absence)"), "message": "ftpsgate encrypts everything itself."])
            } else {
                log.info("ktls.present", ["message": "The kernel encrypts long downloads."])
            }
        }
    }

    /// `--user`.
    private static func giveUpRoot(_ choices: Choices, _ log: EventLog) throws {
        guard let account = choices.user else {
            if Privileges.isRoot {
                log.info("privileges.root", ["message": "Started by root and still root: name another user with --user."])
            }
            return
        }
        if Privileges.isRoot {
            Privileges.give(StateDirectory.files(choices.stateDirectory, environment: Process.environment), to: account)
        }
        if let failure = Privileges.become(account) {
            Process.complain("ftpsgate: --user \(account.name): \(failure); start ftpsgate as root, or leave --user away.")
            throw ExitStatus.failed
        }
    }

    private static func startAdmin(at address: AdminServer.Address, _ health: Health, _ log: EventLog) throws
        -> AdminServer.Address
    {
        do throws(SystemError) {
            return try AdminServer.start(at: address, source: health.source(log))
        } catch {
            Process.complain("ftpsgate: --admin: \(error); choose another address with --admin.")
            throw ExitStatus.failed
        }
    }

    private static func serve(
        _ start: Start, _ health: Health, _ admin: AdminServer.Address?, onOpened: () throws -> Void
    ) throws -> GatewayServer.Ending {
        let (log, workers) = (start.log, start.choices.workers)
        let environment = Process.environment
        let manager = ServiceNotifier.ofService(environment: environment)
        let watchdog = manager.flatMap { _ in ServiceNotifier.watchdogInterval(environment: environment) }
        var isReady = false
        do {
            let server = try GatewayServer(
                configuration: start.gateway.take(), log: log, opensAllFirst: start.choices.user != nil)
            try onOpened()
            try Thread.start(name: "log") { log.writer.run() }
            defer { log.writer.end(within: 1000) }
            // Never freed: with it would go its signal handlers, and a second SIGTERM on the last metres would kill the process.
            _ = Unmanaged.passRetained(server)
            return try server.run(watchdog: watchdog ?? admin.map { _ in Health.interval }, reload: start.reload) { milestone in
                health.note(milestone)
                if case .ready(let ready) = milestone, !isReady {
                    isReady = true
                    Process.print(ready.line + (admin.map { " admin=\($0)" } ?? ""))
                    log.info("ready", ["version": .string(Version.number), "workers": .integer(workers)])
                }
                manager?.send(ServiceNotifier.Message(milestone))
            }
        } catch let error as StartError {
            Process.complain("ftpsgate: \(error)")
            throw ExitStatus.failed
        } catch let error as SystemError {
            Process.complain("ftpsgate: \(error); raise the limit of threads (ulimit -u, TasksMax=).")
            throw ExitStatus.failed
        }
    }
}

extension ServiceNotifier.Message {
    fileprivate init(_ milestone: GatewayServer.Milestone) {
        switch milestone {
        case .ready(let ready): self = .ready(status: "Serving: \(ready.line.dropFirst("ready ".count))")
        case .reloading: self = .reloading
        case .stopping(let sessions): self = .stopping(status: "Draining: \(sessions) sessions at the start.")
        case .alive: self = .alive
        }
    }
}

extension GatewayServer.Ready {
    /// What scripts read: `ready listen=[::]:21,[::]:990 listen-implicit=[::]:990 passive=50000-50999`.
    var line: String {
        func text(_ addresses: [(address: SocketAddress, isImplicit: Bool)]) -> String {
            addresses.map { "\($0.address)" }.joined(separator: ",")
        }
        let implicit = listen.filter(\.isImplicit)
        return
            "ready listen=\(text(listen))\(implicit.isEmpty ? "" : " listen-implicit=\(text(implicit))") passive=\(Self.ranges(passive))"
    }

    /// "50000-50010,50012".
    static func ranges(_ ports: [UInt16]) -> String {
        var ranges: [PortRange] = []
        for port in ports {
            if let last = ranges.last, last.upper &+ 1 == port {
                ranges[ranges.count - 1] = PortRange(lower: last.lower, upper: port) ?? last
            } else if let range = PortRange(lower: port, upper: port) {
                ranges.append(range)
            }
        }
        return ranges.map(\.description).joined(separator: ",")
    }
}
