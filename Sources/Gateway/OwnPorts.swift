import Wire

/// The ports that the gateway listens on, by address: no active data connection goes there.
struct OwnPorts: Sendable {
    /// Passive ports, and those of listeners on every address.
    private let everywhere: Set<UInt16>
    /// Where listeners have an address of their own: theirs and those above. Made once: every session refers to one of these.
    private let byAddress: [IPAddress: Set<UInt16>]

    /// - Parameter passive: on every address.
    init(control: [SocketAddress], passive: Set<UInt16>) {
        let common = control.filter(\.ip.isUnspecified).reduce(into: passive) { $0.insert($1.port) }
        everywhere = common
        byAddress = control.filter { !$0.ip.isUnspecified }
            .reduce(into: [:]) { $0[$1.ip.unmapped, default: common].insert($1.port) }
    }

    /// What a client at this address cannot be listening on, where the control connection came to `local`.
    func of(_ client: IPAddress, local: IPAddress) -> Set<UInt16> {
        // Elsewhere such a number is a port like any other: many clients' kernels choose from 50000 to 50999.
        guard client.unmapped == local.unmapped else { return [] }
        return byAddress[client.unmapped] ?? everywhere
    }
}
