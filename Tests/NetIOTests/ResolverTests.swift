import Testing
import Wire

@testable import NetIO

struct ResolverTests {
    @Test func localhostIsResolvedWithoutAResolversConfiguration() throws {
        let loop = try EventLoop()
        let resolver = Resolver(loop: loop, configuration: "/nonexistent/resolv.conf")
        var found: [IPAddress]?
        resolver.resolve("localhost") { addresses, _ in found = addresses }
        #expect(loop.run(until: { found != nil }))
        #expect(found?.contains(loopback) == true)
    }

    @Test func localhostIsResolvedWithoutANameserver() throws {
        let loop = try EventLoop()
        let network = SystemNetwork(loop: loop)
        var found: [IPAddress]?
        network.resolve("localhost") { addresses, _ in found = addresses }
        #expect(loop.run(until: { found != nil }))
        #expect(found?.contains(loopback) == true)
    }

    @Test(arguments: ["127.0.0.1", "::1"])
    func aNumericAddressNeedsNoResolver(_ text: String) throws {
        let loop = try EventLoop()
        var found: [IPAddress]?
        SystemNetwork(loop: loop).resolve(text) { addresses, _ in found = addresses }
        #expect(found == [IPAddress(text)!])
    }

    @Test func aNameThatCannotBeComesWithAReason() throws {
        let loop = try EventLoop()
        var problem: String?
        // Names of more than 255 bytes are refused before anybody is asked.
        let network = SystemNetwork(loop: loop)
        network.resolve(Array(repeating: "a", count: 200).joined(separator: ".") + ".invalid") { addresses, text in
            #expect(addresses.isEmpty)
            problem = text
        }
        #expect(loop.run(until: { problem != nil }, within: .seconds(30)))
    }
}
