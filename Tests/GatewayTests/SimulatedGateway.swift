import FTPSession
import NetIO
import Synchronization
import TLS
import Telemetry
import Wire

@testable import Gateway

/// The gateway in a simulated network, with the backend behind it and its log in the test's hands. Its workers share one thread.
final class SimulatedGateway {
    static let ip = IPAddress(192, 0, 2, 1)

    let scene: Scene
    let backend: SimulatedBackend
    private(set) var workers: [Surroundings] = []
    let explicit = SocketAddress(ip: SimulatedGateway.ip, port: 21)
    let implicit = SocketAddress(ip: SimulatedGateway.ip, port: 990)
    let log = CapturedLog()
    private var acceptors: [any Acceptor] = []
    private var accepted = 0
    /// Data connections that went from one worker to another.
    private(set) var handOvers = 0

    /// The workers' mail; in the simulated world there is one thread only.
    private final class Post: @unchecked Sendable {
        var deliver: (WaitingPlans.Notice, Int) -> Void = { _, _ in }
    }
    private(set) var sessions: [ObjectIdentifier: ClientConnection] = [:]

    /// - Parameters:
    ///   - ports: the passive ones.
    ///   - workerCount: sessions go to them in turn.
    init(
        _ scene: Scene, ports: ClosedRange<UInt16> = 50_000...50_009, workers workerCount: Int = 1,
        context: TLSContext = TestContext.plain,
        _ change: (inout GatewayConfiguration) -> Void = { _ in }
    ) throws {
        self.scene = scene
        backend = try SimulatedBackend(scene)
        var configuration = GatewayConfiguration(
            listeners: [.init(mode: .explicit, host: Self.ip, port: 21), .init(mode: .implicit, host: Self.ip, port: 990)],
            backends: [.init(host: "\(backend.host.ip)")], tls: context)
        change(&configuration)
        let host = scene.network.host(Self.ip)
        let post = Post()
        let plans = WaitingPlans { worker, notice in post.deliver(notice, worker) }
        post.deliver = { [unowned self] notice, worker in
            scene.world.later { [unowned self] in workers[worker].passivePorts.take(notice) }
        }
        for index in 0..<workerCount {
            workers.append(
                Surroundings(
                    worker: index, configuration: configuration, scheduler: scene.world, network: host, random: scene.random,
                    log: log.eventLog, ownPorts: OwnPorts(control: [explicit, implicit], passive: Set(ports)), plans: plans,
                    handOver: { [unowned self] transport, worker, hops in
                        handOvers += 1
                        scene.world.later { [unowned self] in workers[worker].passivePorts.accepted(transport, hops: hops) }
                    }))
        }
        for (index, port) in ports.enumerated() {
            let worker = index % workerCount
            let acceptor = try host.listen(on: SocketAddress(ip: Self.ip, port: port)) { [unowned self] in
                workers[worker].passivePorts.accepted($0)
            }
            plans.open([port], worker: worker)
            acceptors.append(acceptor)
        }
        for (address, isImplicit) in [(explicit, false), (implicit, true)] {
            acceptors.append(try host.listen(on: address) { [unowned self] in open($0, isImplicit: isImplicit) })
        }
    }

    private func open(_ transport: any Transport, isImplicit: Bool) {
        accepted += 1
        let surroundings = workers[accepted % workers.count]
        let channel = ControlChannel(transport, staging: surroundings.staging)
        let session = ClientConnection(channel, isImplicit: isImplicit, surroundings) { [unowned self] session in
            scene.world.later { [unowned self] in sessions[ObjectIdentifier(session)] = nil }
        }
        sessions[ObjectIdentifier(session)] = session
        session.start()
    }
}

/// The gateway's log, line by line.
final class CapturedLog: Sendable {
    private struct Line {
        let event: String
        let fields: String
    }

    private let lines = Mutex<[Line]>([])
    var eventLog: EventLog {
        EventLog(level: .info, format: .text) { [self] line in
            // Time, level, event, fields.
            let parts = line.dropLast().split(separator: " ", maxSplits: 3)
            let fields = parts.count > 3 ? String(parts[3]) : ""
            lines.withLock { $0.append(Line(event: String(parts[2]), fields: fields)) }
        }
    }

    /// The fields of one event's lines.
    func events(_ name: String) -> [String] { lines.withLock { $0.filter { $0.event == name }.map(\.fields) } }

    /// The fields of the event's last line.
    func last(_ name: String) -> String { lines.withLock { $0.last { $0.event == name }?.fields ?? "" } }
}
