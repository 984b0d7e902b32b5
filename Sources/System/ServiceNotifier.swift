import Glibc

/// Tells the service manager how the service is doing (sd_notify(3)) without its library: one datagram, one message.
///
/// The socket is connected when this is made and kept, so that it works on after privileges and paths are given up. Any thread
/// may use it; a message never blocks, and one that cannot be sent is dropped: the service manager is no reason to stop serving.
public final class ServiceNotifier: Sendable {
    /// What the service manager is told.
    public enum Message: Equatable, Sendable {
        /// Clients can connect; the status is one line for people.
        case ready(status: String)
        /// The configuration is being read again; `ready` ends it.
        case reloading
        /// The service is on its way to its end.
        case stopping(status: String)
        /// One line for people.
        case status(String)
        /// Every loop has turned: the watchdog's time starts anew.
        case alive
    }

    private let descriptor: Int32

    /// Connects to `NOTIFY_SOCKET`: a path, or behind an `@` a name in the abstract namespace.
    /// - Returns: nil when the address is neither, is too long (107 bytes), or nobody listens there.
    public init?(address: String) {
        guard let (name, length) = Self.socketName(address) else { return nil }
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_UNIX, type, 0)
        guard descriptor >= 0 else { return nil }
        let connected = withUnsafePointer(to: name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, length) }
        }
        guard connected == 0 else {
            close(descriptor)
            return nil
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// The service manager that started this process and waits for its word; nil where there is none.
    public static func ofService(environment: [String: String]) -> ServiceNotifier? {
        environment["NOTIFY_SOCKET"].flatMap { ServiceNotifier(address: $0) }
    }

    /// How often the service manager wants to hear `alive`, or else restarts the service; nil where it does not wait for it.
    public static func watchdogInterval(environment: [String: String]) -> Duration? {
        if let processID = environment["WATCHDOG_PID"], Int32(processID) != getpid() { return nil }
        guard let microseconds = environment["WATCHDOG_USEC"], let count = Int64(microseconds), count > 0 else { return nil }
        return .microseconds(count)
    }

    /// - Returns: false when it could not be sent.
    @discardableResult
    public func send(_ message: Message) -> Bool {
        let text = Array(message.text.utf8)
        return text.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) } == text.count
    }

    private static func socketName(_ address: String) -> (sockaddr_un, socklen_t)? {
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(address.utf8)
        let isAbstract = bytes.first == UInt8(ascii: "@")
        guard isAbstract || bytes.first == UInt8(ascii: "/"), bytes.count > 1 else { return nil }
        guard bytes.count < MemoryLayout.size(ofValue: name.sun_path) else { return nil }
        if isAbstract { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: bytes) }
        // An abstract name is as long as the address says; a path ends at its zero.
        let offset = MemoryLayout<sa_family_t>.size
        return (name, socklen_t(offset + bytes.count + (isAbstract ? 0 : 1)))
    }
}

extension ServiceNotifier.Message {
    var text: String {
        switch self {
        case .ready(let status): "READY=1\nSTATUS=\(status.firstLine)"
        case .reloading: "RELOADING=1\nMONOTONIC_USEC=\(Self.monotonicMicroseconds())"
        case .stopping(let status): "STOPPING=1\nSTATUS=\(status.firstLine)"
        case .status(let status): "STATUS=\(status.firstLine)"
        case .alive: "WATCHDOG=1"
        }
    }

    /// With `Type=notify-reload` it tells this reload's READY from an earlier one's.
    private static func monotonicMicroseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }
}

extension String {
    /// A second line would be another message.
    fileprivate var firstLine: Substring { prefix { !$0.isNewline } }
}
