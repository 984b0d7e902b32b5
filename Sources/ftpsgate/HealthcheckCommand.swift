import ArgumentParser
import Gateway
import System
import Wire

/// `ftpsgate healthcheck`: asks the gateway that runs beside it with the same settings whether it serves. For containers, which
/// have no other program to do so.
struct HealthcheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "healthcheck",
        abstract: "Ask the gateway that runs with the same settings whether it serves; exit status 0 or 1.")

    @OptionGroup var flags: Flags

    /// Less than what container engines give a check.
    private static let limit: Duration = .seconds(3)

    func run() throws {
        Process.ignoreBrokenPipes()
        switch try verdict() {
        case .healthy: Process.print("ftpsgate is healthy.")
        case .unhealthy(let reason):
            Process.complain("ftpsgate is not healthy: \(reason)")
            throw ExitStatus.failed
        }
    }

    private func verdict() throws -> HealthProbe.Verdict {
        var reader = SettingsReader(Settings(flags: flags, environment: Process.environment))
        // Mistakes in them are for `serve` to report: here only the listeners matter.
        let choices = Choices(&reader)
        // An explicit listener says more at less cost.
        let known = choices.listeners.filter { $0.port != 0 }.sorted { $0.mode == .explicit && $1.mode == .implicit }
        guard let listener = known.first else {
            return .unhealthy("no listener's port is known; give the same --listen or --listen-implicit as the gateway's.")
        }
        let hosts = listener.host.map { $0.isUnspecified ? Self.ownHost($0) : [$0] } ?? [.loopbackV4, .loopbackV6]
        var last = HealthProbe.Verdict.unhealthy("no address of this machine answers.")
        for host in hosts {
            do throws(StartError) {
                last = try HealthProbe.ask(
                    SocketAddress(ip: host, port: listener.port), isImplicit: listener.mode == .implicit,
                    mayBeTurnedAway: choices.turnsAway(host), within: Self.limit)
            } catch {
                last = .unhealthy(error.description)
            }
            if last == .healthy { break }
        }
        return last
    }

    private static func ownHost(_ unspecified: IPAddress) -> [IPAddress] {
        unspecified.family == .v4 ? [.loopbackV4] : [.loopbackV4, .loopbackV6]
    }
}

extension Choices {
    /// A client that connects to an address of its own machine comes from there as well.
    fileprivate func turnsAway(_ client: IPAddress) -> Bool {
        denyFrom.contains { $0.contains(client) } || !allowFrom.isEmpty && !allowFrom.contains { $0.contains(client) }
    }
}

extension IPAddress {
    fileprivate static let loopbackV4 = IPAddress(127, 0, 0, 1)
    fileprivate static let loopbackV6 = IPAddress("::1")!
}
