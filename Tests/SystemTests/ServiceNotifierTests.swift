import Glibc
import System
import Testing

/// A service manager's end: a datagram socket that is bound to an address and read without waiting.
private final class FakeManager {
    let address: String
    private let descriptor: Int32

    init(abstract: Bool) {
        let unique = "ftpsgate-notify-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        address = abstract ? "@\(unique)" : "/tmp/\(unique)"
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(address.utf8)
        if abstract { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count + (abstract ? 0 : 1))
        let bound = withUnsafePointer(to: name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        precondition(bound == 0, "a fresh name can be bound")
    }

    deinit {
        close(descriptor)
        if address.hasPrefix("/") { unlink(address) }
    }

    /// A datagram on this machine is there as soon as it is sent.
    func next() -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
    }
}

@Suite struct ServiceNotifierTests {
    @Test(arguments: [true, false])
    func eachMessageIsOneDatagram(abstract: Bool) throws {
        let manager = FakeManager(abstract: abstract)
        let notifier = try #require(ServiceNotifier(address: manager.address))
        #expect(notifier.send(.ready(status: "Serving.")))
        #expect(manager.next() == "READY=1\nSTATUS=Serving.")
        notifier.send(.status("3 sessions"))
        #expect(manager.next() == "STATUS=3 sessions")
        notifier.send(.alive)
        #expect(manager.next() == "WATCHDOG=1")
        notifier.send(.stopping(status: "Draining."))
        #expect(manager.next() == "STOPPING=1\nSTATUS=Draining.")
        #expect(manager.next() == nil)
    }

    @Test func aReloadCarriesTheMonotonicClock() throws {
        let manager = FakeManager(abstract: true)
        let notifier = try #require(ServiceNotifier(address: manager.address))
        var before = timespec()
        clock_gettime(CLOCK_MONOTONIC, &before)
        notifier.send(.reloading)
        let lines = try #require(manager.next()).split(separator: "\n")
        #expect(lines.first == "RELOADING=1")
        let stamp = try #require(lines.last.flatMap { Int64($0.dropFirst("MONOTONIC_USEC=".count)) })
        let earliest = Int64(before.tv_sec) * 1_000_000 + Int64(before.tv_nsec) / 1000
        #expect((earliest...earliest + 60_000_000).contains(stamp))
    }

    @Test func aSecondLineInAStatusIsNoSecondMessage() throws {
        let manager = FakeManager(abstract: true)
        let notifier = try #require(ServiceNotifier(address: manager.address))
        notifier.send(.status("one\nSTOPPING=1"))
        #expect(manager.next() == "STATUS=one")
    }

    @Test(arguments: ["", "@", "relative/path", "/nobody/listens/here", "/" + String(repeating: "x", count: 107), "vsock:2:1"])
    func anAddressThatIsNoSocketGivesNoNotifier(address: String) {
        #expect(ServiceNotifier(address: address) == nil)
    }

    @Test func aManagerThatIsGoneDoesNotHurt() throws {
        var manager: FakeManager? = FakeManager(abstract: true)
        let notifier = try #require(ServiceNotifier(address: manager!.address))
        manager = nil
        #expect(!notifier.send(.alive))
    }

    @Test func theWatchdogIsForThisProcessOnly() {
        func interval(_ environment: [String: String]) -> Duration? { ServiceNotifier.watchdogInterval(environment: environment) }
        #expect(interval(["WATCHDOG_USEC": "30000000"]) == .seconds(30))
        #expect(interval(["WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "\(getpid())"]) == .seconds(30))
        #expect(interval(["WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"]) == nil)
        #expect(interval(["WATCHDOG_USEC": "0"]) == nil)
        #expect(interval(["WATCHDOG_USEC": "soon"]) == nil)
        #expect(interval([:]) == nil)
    }
}
