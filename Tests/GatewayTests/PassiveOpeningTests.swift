import NetIO
import Testing
import Wire

@testable import Gateway

/// The passive ports are opened some at a time, with real sockets.
@Suite struct PassiveOpenings {
    private let loopback = IPAddress(127, 0, 0, 1)

    private func close(_ ports: [ListeningSockets.PassivePort]) {
        for descriptor in ports.flatMap(\.descriptors) { _ = Socket(owning: descriptor) }
    }

    @Test func theKernelChoosesSoManyAndNoMore() {
        var opening = PassiveOpening(.chosenByKernel(count: 10), hosts: [loopback])
        var ports: [ListeningSockets.PassivePort] = []
        var turns = 0
        while !opening.isOver {
            ports += opening.open(atMost: 4) { port, _ in Issue.record("\(port) is missing") }
            turns += 1
        }
        defer { close(ports) }
        #expect(turns >= 3)
        #expect(ports.count == 10)
        #expect(Set(ports.map(\.port)).count == 10)
        #expect(opening.opened == ports.map(\.port))
        #expect(opening.missing.isEmpty)
    }

    @Test func whatIsHeldBySomethingElseIsNamedAndLeftOut() throws {
        // Three in a row of which the middle one is taken: some such three are free.
        for _ in 0..<50 {
            let holder = try Socket.listening(on: SocketAddress(ip: loopback, port: 0))
            let held = try #require(holder.localAddress()?.port)
            guard let range = PortRange(lower: held - 1, upper: held + 1) else { continue }
            var opening = PassiveOpening(.range(range), hosts: [loopback])
            var named: [UInt16] = []
            var ports: [ListeningSockets.PassivePort] = []
            while !opening.isOver { ports += opening.open(atMost: 1) { port, _ in named.append(port) } }
            defer { close(ports) }
            #expect(named.contains(held))
            #expect(opening.missing == named)
            #expect(Set(opening.opened).union(named) == Set(range.lower...range.upper))
            #expect(opening.opened == ports.map(\.port))
            withExtendedLifetime(holder.descriptor) {}
            if named == [held] { return }
        }
        Issue.record("no free port beside another was found")
    }

    @Test func withEveryHostTakenThereIsAnEnd() {
        // An address of no machine here (RFC 5737): nothing can be opened, whatever the number.
        var opening = PassiveOpening(.chosenByKernel(count: 3), hosts: [IPAddress(192, 0, 2, 1)])
        for _ in 0..<30 where !opening.isOver { #expect(opening.open(atMost: 1) { _, _ in }.isEmpty) }
        #expect(opening.isOver)
        #expect(opening.opened.isEmpty)
    }
}
