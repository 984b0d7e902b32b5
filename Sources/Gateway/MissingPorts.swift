import NetIO
import Telemetry
import Wire

/// Passive ports that something else holds: each is named once in the log and tried again now and then, since the range of
/// passive ports usually lies within that of the kernel's own choices (`ip_local_port_range`), and one outgoing connection is
/// enough to hold a port for a while.
final class MissingPorts {
    private var ports: [UInt16]
    private let hosts: [IPAddress?]
    private let log: EventLog
    private let onOpened: (ListeningSockets.PassivePort) -> Void
    private let interval: Duration
    private var clock: LoopTimer?

    /// - Parameters:
    ///   - interval: between two attempts.
    ///   - onOpened: is given each port that could be had after all.
    init(
        _ ports: [UInt16], hosts: [IPAddress?], loop: EventLoop, log: EventLog, interval: Duration = .seconds(30),
        onOpened: @escaping (ListeningSockets.PassivePort) -> Void
    ) {
        self.ports = ports
        self.hosts = hosts
        self.log = log
        self.interval = interval
        self.onOpened = onOpened
        guard !ports.isEmpty else { return }
        clock = LoopTimer(loop: loop) { [unowned self] in tryAgain() }
        clock?.start(after: interval)
    }

    private func tryAgain() {
        ports.removeAll { port in
            guard let opened = try? ListeningSockets.openPassive(port, hosts: hosts) else { return false }
            log.info("passive_port.opened", ["port": .integer(Int(port))])
            onOpened(opened)
            return true
        }
        if ports.isEmpty { clock = nil } else { clock?.start(after: interval) }
    }
}
