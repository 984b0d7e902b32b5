import Testing
import Wire

struct SocketAddressTests {
    @Test(arguments: ["192.0.2.1:21", "[2001:db8::1]:990", "[::]:0", "0.0.0.0:65535", "[::ffff:192.0.2.1]:21"])
    func readsWhatItWrites(text: String) throws {
        #expect(try #require(SocketAddress(text)).description == text)
    }

    @Test(arguments: [
        "", ":", ":21", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:-1", "192.0.2.1:2 1", "2001:db8::1:21",
        "[2001:db8::1]",
        "[2001:db8::1]21", "[2001:db8::1:21", "[fe80::1%1]:21", "localhost:21", "192.0.2.1:21:21",
    ])
    func refusesOtherTexts(text: String) {
        #expect(SocketAddress(text) == nil)
    }
}
