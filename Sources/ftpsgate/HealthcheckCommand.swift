import Admin
import ArgumentParser
import Gateway
import PKI
import System
import Wire

/// `ftpsgate healthcheck`: asks the gateway that runs beside it with the same settings whether it serves. For containers, which
/// have no other program to do so: `--admin` where there is one, else a listener.
struct HealthcheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "healthcheck",
        abstract: "Ask the gateway that runs with the same settings whether it serves; exit status 0 or 1.")

    @OptionGroup var flags: Flags

    /// Less than what container engines give a check.
    private static let limit: Duration = .seconds(3)

    func run() throws { try Self.run(GivenFlags(flags)) }

    static func run(_ given: GivenFlags) throws {
        Libraries.keepToTheEnd()
        Process.ignoreBrokenPipes()
        switch try verdict(given) {
        case .healthy: Process.print("ftpsgate is healthy.")
        case .unhealthy(let reason):
            Process.complain("ftpsgate is not healthy: \(reason)")
            throw ExitStatus.failed
        }
    }

    private static func verdict(_ given: GivenFlags) throws -> HealthProbe.Verdict {
        var reader = SettingsReader(Settings(given: given, environment: Process.environment))
        // Mistakes in them are for `serve` to report: here only addresses matter.
        let choices = Choices(&reader)
        if let admin = choices.admin.flatMap(exchange) { return askAdmin(at: admin) }
        // An explicit listener says more at less cost.
        let known = choices.listeners.filter { $0.port != 0 }.sorted { $0.mode == .explicit && $1.mode == .implicit }
        guard let listener = known.first else {
            return .unhealthy("no listener's port is known; give the same --listen or --listen-implicit as the gateway's.")
        }
        return try ask(listener, choices)
    }

    /// `/livez`: a backend that is down does not make the gateway ill.
    private static func askAdmin(at address: Exchange.Address) -> HealthProbe.Verdict {
        switch Exchange.ask(address, "GET /livez HTTP/1.0\r\n\r\n", within: limit) {
        case .failure(let failure): return .unhealthy("--admin does not answer: \(failure).")
        case .success(let answer):
            let status = answer.split(separator: "\r\n").first ?? ""
            if status.split(separator: " ").dropFirst().first == "200" { return .healthy }
            return .unhealthy("--admin says \(status.isEmpty ? "nothing" : "\"\(status)\"").")
        }
    }

    /// Nil where the kernel chose the port.
    private static func exchange(_ address: AdminServer.Address) -> Exchange.Address? {
        switch address {
        case .unix(let path): return .unix(path: path)
        case .tcp(let address):
            guard address.port != 0 else { return nil }
            return .tcp(SocketAddress(ip: address.ip.isUnspecified ? .loopbackV4 : address.ip, port: address.port))
        }
    }

    private static func ask(_ listener: GatewayConfiguration.Listener, _ choices: Choices) throws -> HealthProbe.Verdict {
        let hosts = listener.host.map { $0.isUnspecified ? ownHost($0) : [$0] } ?? [.loopbackV4, .loopbackV6]
        var last = HealthProbe.Verdict.unhealthy("no address of this machine answers.")
        for host in hosts {
            do throws(StartError) {
                last = try HealthProbe.ask(
                    SocketAddress(ip: host, port: listener.port), isImplicit: listener.mode == .implicit,
                    mayBeTurnedAway: choices.turnsAway(host), within: limit)
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
