import Gateway
import System
import Telemetry

/// `--listen systemd:NAME`: listeners whose sockets the service manager opens and hands over.
enum ActivatedListeners {
    static let prefix = "systemd:"

    /// The listeners with each `systemd:NAME` replaced by the sockets of that name.
    /// - Throws: when a name has no socket.
    static func resolve(
        _ listeners: [GatewayConfiguration.Listener], _ log: EventLog
    ) throws(ConfigurationProblems) -> [GatewayConfiguration.Listener] {
        let sockets: [ActivatedSocket]
        do throws(ActivationError) {
            sockets = try ActivatedSockets.inherited(environment: Process.environment)
        } catch {
            throw ConfigurationProblems([ConfigurationProblem("socket activation", "", sentence: error.description)])
        }
        let (resolved, problems) = resolve(listeners, sockets)
        guard problems.isEmpty else { throw ConfigurationProblems(problems) }
        let named = Set(listeners.compactMap(\.socketName))
        for socket in sockets where !named.contains(socket.name) {
            log.warning(
                "socket.unused",
                ["name": .string(socket.name), "remedy": .string("take it with --listen \(prefix)\(socket.name)")])
        }
        return resolved
    }

    static func resolve(
        _ listeners: [GatewayConfiguration.Listener], _ sockets: [ActivatedSocket]
    ) -> ([GatewayConfiguration.Listener], [ConfigurationProblem]) {
        var problems: [ConfigurationProblem] = []
        let resolved = listeners.flatMap { listener in
            guard let name = listener.socketName else { return [listener] }
            let own = sockets.filter { $0.name == name }
            if own.isEmpty {
                let others = Set(sockets.map(\.name)).sorted().joined(separator: ", ")
                problems.append(
                    ConfigurationProblem(
                        listener.mode == .explicit ? "--listen" : "--listen-implicit", "\(prefix)\(name)",
                        "the service manager has handed over \(others.isEmpty ? "no socket" : "only: \(others)")",
                        "start ftpsgate by a socket unit with FileDescriptorName=\(name)"))
            }
            return own.map { .init(mode: listener.mode, host: nil, port: 0, socketName: name, inherited: $0.descriptor) }
        }
        return (resolved, problems)
    }
}
