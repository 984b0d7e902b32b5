import NetIO
import Telemetry
import Wire

/// The address that a 227 names (`--passive-address`).
final class PublicAddress {
    private let choice: GatewayConfiguration.PassiveAddress
    private let network: any Network
    private let scheduler: any Scheduler
    private let log: EventLog
    /// What the name was last resolved to.
    private var resolved: IPAddress?
    private var renewal: (any Timer)?

    /// Names behind dynamic DNS change.
    private static let renewalInterval: Duration = .seconds(60)

    init(_ choice: GatewayConfiguration.PassiveAddress, network: any Network, scheduler: any Scheduler, log: EventLog) {
        self.choice = choice
        self.network = network
        self.scheduler = scheduler
        self.log = log
        guard case .name(let name) = choice.source else { return }
        renewal = scheduler.makeTimer { [unowned self] in resolve(name) }
        resolve(name)
    }

    /// - Parameter local: the address that the client connected to.
    /// - Returns: an IPv4 address, or nil where none is known.
    func address(for client: IPAddress, local: IPAddress) -> IPAddress? {
        let chosen: IPAddress? =
            if let exception = choice.exceptions.first(where: { $0.network.contains(client) }) {
                exception.address
            } else {
                switch choice.source {
                case .automatic: local
                case .fixed(let address): address
                case .name: resolved ?? local
                case .interface(let name): Interface.addresses(of: name).first { $0.family == .v4 } ?? local
                }
            }
        guard let address = chosen?.unmapped, address.family == .v4 else { return nil }
        return address
    }

    private func resolve(_ name: String) {
        network.resolve(name) { [weak self] addresses, problem in
            guard let self else { return }
            if let address = addresses.first(where: { $0.family == .v4 }) {
                resolved = address
            } else {
                log.warning(
                    "passive_address.unresolved",
                    ["name": .string(name), "reason": .string(problem ?? "it has no IPv4 address")])
            }
            renewal?.start(after: Self.renewalInterval)
        }
    }
}
