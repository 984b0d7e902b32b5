import Testing
import Wire

@testable import NetIO

struct SocketAddressTests {
    @Test func theKernelReadsWhatItWrote() throws {
        for text in ["127.0.0.1:0", "[::1]:0"] {
            let socket = try Socket.listening(on: try #require(SocketAddress(text)))
            let address = NetIOTests.address(of: socket)
            #expect(address.port != 0)
            #expect(address.ip == SocketAddress(text)?.ip)
        }
    }

    @Test func anInterfaceHasItsAddresses() {
        #expect(Interface.addresses(of: "lo").first == loopback)
        #expect(Interface.addresses(of: "no-such-interface").isEmpty)
    }
}
