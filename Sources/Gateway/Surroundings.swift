import FTPSession
import NetIO
import TLS
import Telemetry
import Wire

/// What a worker's sessions share and use: clock, network, random numbers, ports, buffers and what the operator chose.
///
/// Everything that touches the world comes in through here, so that all of the gateway can run in a simulated one.
final class Surroundings {
    /// The worker's number.
    let worker: Int
    private(set) var configuration: GatewayConfiguration
    /// What the configuration means for sessions: one of each kind.
    private var policies: [SharedPolicy] = []
    private lazy var hostNames = configuration.tls.dnsNames
    let scheduler: any Scheduler
    let network: any Network
    let random: any RandomSource
    let log: EventLog
    let staging = Staging()
    private(set) lazy var passivePorts = PassivePorts(
        plans,
        PassivePorts.Environment(
            worker: worker, scheduler: scheduler, random: random, log: log,
            claim: { [unowned self] in configuration.tls.store.claimedTag(in: $0) },
            handshakeTimeout: { [unowned self] in configuration.timeouts.handshake }, handOver: handOver))
    private let plans: WaitingPlans
    private let handOver: (any Transport, _ worker: Int, _ hops: Int) -> Void
    let backend: BackendDialer
    private(set) var publicAddress: PublicAddress
    var ownPorts: OwnPorts
    /// Nil where there is no network to ask over.
    var clientStatus: ClientStatusChecker?
    /// Set while the gateway is on its way to its end.
    var drain: DrainPace?
    private var lingering: [ObjectIdentifier: Lingering] = [:]
    private var onNothingLingers: (() -> Void)?

    /// - Parameters:
    ///   - plans: one table for all workers.
    ///   - handOver: gives a data connection, unread, to another worker.
    init(
        worker: Int = 0, configuration: GatewayConfiguration, scheduler: any Scheduler, network: any Network,
        random: any RandomSource, log: EventLog, ownPorts: OwnPorts, plans: WaitingPlans,
        handOver: @escaping (any Transport, _ worker: Int, _ hops: Int) -> Void
    ) {
        self.worker = worker
        self.configuration = configuration
        self.scheduler = scheduler
        self.network = network
        self.random = random
        self.log = log
        self.ownPorts = ownPorts
        self.plans = plans
        self.handOver = handOver
        backend = BackendDialer(configuration, network: network)
        publicAddress = PublicAddress(configuration.passiveAddress, network: network, scheduler: scheduler, log: log)
    }

    /// Takes up what the operator chose anew. Sessions keep the policy that they began with; clocks, and the certificates of
    /// their data connections, are those of now.
    func use(_ new: GatewayConfiguration) {
        let old = configuration
        configuration = new
        policies = []
        hostNames = new.tls.dnsNames
        backend.use(new)
        if new.passiveAddress != old.passiveAddress {
            publicAddress = PublicAddress(new.passiveAddress, network: network, scheduler: scheduler, log: log)
        }
    }

    /// What a session goes by whose client has connected to this control port; the same object for all that go by the same.
    func sessionPolicy(for client: IPAddress, at port: UInt16) -> SharedPolicy {
        var policy = configuration.sessionPolicy(for: client, at: port)
        policy.hostNames = hostNames
        if let known = policies.first(where: { $0.value == policy }) { return known }
        let new = SharedPolicy(policy)
        policies.append(new)
        return new
    }

    /// Sends what is left and FIN, then waits for the peer's end for a little while.
    func linger(_ stream: Stream) {
        // A backend that has sent a whole file has long ended.
        stream.isSpent ? stream.transport.close() : keep(stream, .closing)
    }

    /// Swallows what the peer still sends for a little while, then resets.
    func swallow(_ stream: Stream) { keep(stream, .swallowing) }

    /// Resets the connection once the backend has had the time to accept it.
    func resetWhenAccepted(_ stream: Stream) { keep(stream, .untilAccepted) }

    private func keep(_ stream: Stream, _ manner: Lingering.Manner) {
        let one = Lingering(stream, manner, scheduler: scheduler) { [unowned self] one in
            // It may be running at this moment.
            scheduler.later { [weak self] in self?.forget(one) }
        }
        lingering[ObjectIdentifier(one)] = one
    }

    private func forget(_ one: Lingering) {
        lingering[ObjectIdentifier(one)] = nil
        if lingering.isEmpty { onNothingLingers?() }
    }

    /// Calls `body` once no connection is on its way out any more.
    func whenNothingLingers(_ body: @escaping () -> Void) {
        guard lingering.isEmpty else {
            onNothingLingers = body
            return
        }
        body()
    }
}
