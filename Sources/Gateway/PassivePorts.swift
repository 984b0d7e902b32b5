import NetIO
import Telemetry
import Wire

/// A worker's passive ports: listened on for as long as the worker lives, each promised to at most one session per client
/// address at a time (DESIGN 3.11.3).
///
/// A connection is matched by its port and its client address; who is meant by nobody is reset, and spends no promise.
final class PassivePorts {
    /// A port that waits for one client; given back by `release`.
    final class Reservation {
        let client: IPAddress
        fileprivate(set) var port: UInt16?
        fileprivate let onPromised: (UInt16) -> Void
        fileprivate let onConnected: (any Transport) -> Void

        fileprivate init(
            client: IPAddress, onPromised: @escaping (UInt16) -> Void, onConnected: @escaping (any Transport) -> Void
        ) {
            self.client = client
            self.onPromised = onPromised
            self.onConnected = onConnected
        }
    }

    private struct Promise: Hashable {
        let port: UInt16
        let client: IPAddress
    }

    private let scheduler: any Scheduler
    private let random: any RandomSource
    private let log: EventLog
    private(set) var ports: [UInt16] = []
    private var acceptors: [any Acceptor] = []
    private var promised: [Promise: Reservation] = [:]
    /// Those for whom every port is promised to another session of the same address, first come first.
    private var waiting: [Reservation] = []

    init(scheduler: any Scheduler, random: any RandomSource, log: EventLog) {
        self.scheduler = scheduler
        self.random = random
        self.log = log
    }

    /// Adds a listening port; `accepted` is to be called with what it accepts. One port may have several listeners, one for
    /// each address of the machine.
    func add(_ acceptor: any Acceptor) {
        acceptors.append(acceptor)
        if ports.last != acceptor.address.port { ports.append(acceptor.address.port) }
    }

    /// Promises a port to the client, at once or when one becomes free.
    func reserve(
        for client: IPAddress, onPromised: @escaping (UInt16) -> Void, onConnected: @escaping (any Transport) -> Void
    ) -> Reservation {
        let reservation = Reservation(client: client.unmapped, onPromised: onPromised, onConnected: onConnected)
        if let port = freePort(for: reservation.client) {
            promise(port, to: reservation)
        } else {
            waiting.append(reservation)
        }
        return reservation
    }

    /// Takes a promise back, kept or not.
    func release(_ reservation: Reservation) {
        guard let port = reservation.port else {
            waiting.removeAll { $0 === reservation }
            return
        }
        reservation.port = nil
        promised[Promise(port: port, client: reservation.client)] = nil
        guard let next = waiting.firstIndex(where: { $0.client == reservation.client }) else { return }
        promise(port, to: waiting.remove(at: next))
    }

    /// A connection has come to one of the ports.
    func accepted(_ transport: any Transport) {
        let port = transport.localAddress.port
        let peer = transport.peerAddress
        guard let reservation = promised[Promise(port: port, client: peer.ip.unmapped)] else {
            log.info("data.stray", ["client": .string("\(peer)"), "port": .integer(Int(port))])
            return transport.reset()
        }
        release(reservation)
        reservation.onConnected(transport)
    }

    private func promise(_ port: UInt16, to reservation: Reservation) {
        reservation.port = port
        promised[Promise(port: port, client: reservation.client)] = reservation
        reservation.onPromised(port)
    }

    /// Any port that is free for the client, none more likely than another: who can tell the next one can take it.
    private func freePort(for client: IPAddress) -> UInt16? {
        guard !ports.isEmpty else { return nil }
        let start = random.number(below: ports.count)
        for offset in ports.indices {
            let port = ports[(start + offset) % ports.count]
            if promised[Promise(port: port, client: client)] == nil { return port }
        }
        return nil
    }
}
