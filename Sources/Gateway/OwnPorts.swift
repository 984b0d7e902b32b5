import Wire

/// The ports that the gateway listens on, by address: no active data connection goes there.
struct OwnPorts: Sendable {
    let control: [SocketAddress]
    /// On every address.
    let passive: Set<UInt16>

    /// What a client at this address cannot be listening on, where the control connection came to `local`.
    func of(_ client: IPAddress, local: IPAddress) -> Set<UInt16> {
        // Elsewhere such a number is a port like any other: many clients' kernels choose from 50000 to 50999.
        guard client.unmapped == local.unmapped else { return [] }
        return control.reduce(into: passive) { ports, listener in
            if listener.ip.isUnspecified || listener.ip.unmapped == client.unmapped { ports.insert(listener.port) }
        }
    }
}
