import NetIO
import Wire

/// The passive ports on their way to being open, some at a time: a thousand are milliseconds' work, which the first client
/// need not wait for.
struct PassiveOpening {
    /// In the order in which they were opened.
    private(set) var opened: [UInt16] = []
    /// Those that something else holds.
    private(set) var missing: [UInt16] = []
    private let hosts: [IPAddress?]
    /// Those to come; empty where the kernel chooses.
    private var range: Range<Int>
    /// Of the kernel's choice.
    private var wanted = 0
    /// What is free on one address may be taken on the next: then another is tried.
    private var attempts = 0

    init(_ ports: GatewayConfiguration.PassivePorts, hosts: [IPAddress?]) {
        self.hosts = hosts
        switch ports {
        case .range(let ports): range = Int(ports.lower)..<Int(ports.upper) + 1
        case .chosenByKernel(let count): (range, wanted, attempts) = (0..<0, count, count * 10)
        }
    }

    /// Whether nothing is left to be tried.
    var isOver: Bool { range.isEmpty && (opened.count >= wanted || attempts == 0) }

    /// - Parameters:
    ///   - count: how many are tried, at most.
    ///   - onMissing: is called for each port of a range that cannot be had.
    mutating func open(atMost count: Int, onMissing: (UInt16, SystemError) -> Void) -> [ListeningSockets.PassivePort] {
        var ports: [ListeningSockets.PassivePort] = []
        for _ in 0..<count where !isOver {
            let number = UInt16(range.popFirst() ?? 0)
            if number == 0 { attempts -= 1 }
            do throws(SystemError) {
                let port = try ListeningSockets.openPassive(number, hosts: hosts)
                opened.append(port.port)
                ports.append(port)
            } catch {
                guard number != 0 else { continue }
                missing.append(number)
                onMissing(number, error)
            }
        }
        return ports
    }
}
