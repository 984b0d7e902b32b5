import Testing
import Wire

@testable import Gateway

@Suite struct OwnPortsTests {
    private let ports = OwnPorts(
        control: [
            SocketAddress(ip: .anyV4, port: 21), SocketAddress(ip: IPAddress(192, 0, 2, 1), port: 990),
            SocketAddress(ip: IPAddress(192, 0, 2, 1), port: 2121), SocketAddress(ip: IPAddress("::ffff:192.0.2.2")!, port: 991),
        ], passive: [50000, 50001])

    @Test func theyAreOwnAtTheAddressesWhereTheGatewayListens() {
        #expect(ports.of(IPAddress(192, 0, 2, 1), local: IPAddress(192, 0, 2, 1)) == [21, 990, 2121, 50000, 50001])
        #expect(ports.of(IPAddress(192, 0, 2, 2), local: IPAddress("::ffff:192.0.2.2")!) == [21, 991, 50000, 50001])
        #expect(ports.of(IPAddress(192, 0, 2, 3), local: IPAddress(192, 0, 2, 3)) == [21, 50000, 50001])
    }

    @Test func anotherHostsNumbersAreItsOwn() {
        #expect(ports.of(IPAddress(192, 0, 2, 9), local: IPAddress(192, 0, 2, 1)).isEmpty)
    }
}
