import Glibc
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

    @Test func lettersAreAskedForAsTheyAre() throws {
        let server = try NameServer(knows: "a-name-in-lower-case", as: [192, 0, 2, 7])
        let file = try TemporaryFile("nameserver 127.0.0.1:\(server.port)\n")
        let loop = try EventLoop()
        let resolver = Resolver(loop: loop, configuration: file.path)
        var found: [IPAddress]?
        resolver.resolve("a-name-in-lower-case") { addresses, _ in found = addresses }
        #expect(loop.run(until: { found != nil }, within: .seconds(30)))
        #expect(found == [IPAddress(192, 0, 2, 7)])
    }
}

extension ResolverTests {
    @Test func theFirstNameServerIsAskedFirst() throws {
        let first = try NameServer(knows: "inside", as: [192, 0, 2, 7])
        let second = try NameServer(knows: "outside", as: [192, 0, 2, 8])
        let file = try TemporaryFile("nameserver 127.0.0.1:\(first.port)\nnameserver 127.0.0.1:\(second.port)\n")
        let loop = try EventLoop()
        let resolver = Resolver(loop: loop, configuration: file.path)
        // Asked in turn, every other one would not be found.
        for _ in 0..<4 {
            var found: [IPAddress]?
            resolver.resolve("inside") { addresses, _ in found = addresses }
            #expect(loop.run(until: { found != nil }, within: .seconds(30)))
            #expect(found == [IPAddress(192, 0, 2, 7)])
        }
    }

    @Test func theNextIsAskedWhenOneIsNotThere() throws {
        let second = try NameServer(knows: "outside", as: [192, 0, 2, 8])
        // Nobody listens on port 1.
        let file = try TemporaryFile(
            "nameserver 127.0.0.1:1\nnameserver 127.0.0.1:\(second.port)\noptions timeout:1 attempts:1\n")
        let loop = try EventLoop()
        let resolver = Resolver(loop: loop, configuration: file.path)
        var found: [IPAddress]?
        resolver.resolve("outside") { addresses, _ in found = addresses }
        #expect(loop.run(until: { found != nil }, within: .seconds(30)))
        #expect(found == [IPAddress(192, 0, 2, 8)])
    }
}

private struct TemporaryFile: ~Copyable {
    let path: String

    init(_ content: String) throws {
        path = "/tmp/ftpsgate-resolver-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
        try #require(descriptor >= 0)
        write(descriptor, content, content.utf8.count)
        close(descriptor)
    }

    deinit { unlink(path) }
}

/// A name server on a loopback port that knows one name, and compares its letters as they are (RFC 1035 section 4).
private final class NameServer: Sendable {
    let port: UInt16
    private let descriptor: Int32

    init(knows name: String, as octets: [UInt8]) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        try #require(bound)
        port = UInt16(bigEndian: address.sin_port)
        self.descriptor = descriptor
        try Thread.start(name: "name-server") { Self.serve(descriptor, name, octets) }
    }

    deinit { shutdown(descriptor, Int32(SHUT_RDWR)) }

    private static func serve(_ descriptor: Int32, _ name: String, _ octets: [UInt8]) {
        let wanted = [UInt8(name.utf8.count)] + Array(name.utf8) + [0]
        while true {
            var query = [UInt8](repeating: 0, count: 512)
            var peer = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let count = withUnsafeMutablePointer(to: &peer) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(descriptor, &query, query.count, 0, $0, &length)
                }
            }
            guard count > 16, let end = query[12...].firstIndex(of: 0) else { break }
            let question = Array(query[12..<end + 5])
            let isKnown = Array(question.dropLast(4)) == wanted
            let isForIPv4 = Array(question.suffix(4)) == [0, 1, 0, 1]
            let answers: [UInt8] = isKnown && isForIPv4 ? [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4] + octets : []
            let answer =
                query[..<2] + [0x81, isKnown ? 0x80 : 0x83, 0, 1, 0, answers.isEmpty ? 0 : 1, 0, 0, 0, 0] + question + answers
            _ = withUnsafePointer(to: &peer) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(descriptor, Array(answer), answer.count, 0, $0, length)
                }
            }
        }
        close(descriptor)
    }
}
