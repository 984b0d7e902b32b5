import Testing
import Wire

struct ClientHelloTests {
    /// A number of `count` bytes, most significant first.
    private func number(_ value: Int, _ count: Int) -> [UInt8] {
        (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    private func vector(_ bytes: [UInt8], lengthBytes: Int) -> [UInt8] { number(bytes.count, lengthBytes) + bytes }

    private func extensionBytes(_ type: Int, _ contents: [UInt8]) -> [UInt8] {
        number(type, 2) + vector(contents, lengthBytes: 2)
    }

    /// The handshake message.
    private func message(sessionID: [UInt8] = [], extensions: [[UInt8]]?) -> [UInt8] {
        var body: [UInt8] = [3, 3] + [UInt8](repeating: 9, count: 32) + vector(sessionID, lengthBytes: 1)
        body += vector([0x13, 0x01, 0xc0, 0x2f], lengthBytes: 2) + vector([0], lengthBytes: 1)
        if let extensions { body += vector(extensions.flatMap { $0 }, lengthBytes: 2) }
        return [1] + vector(body, lengthBytes: 3)
    }

    private func records(_ message: [UInt8], of size: Int = 16_384) -> [UInt8] {
        stride(from: 0, to: message.count, by: size).flatMap { start in
            [22, 3, 1] + vector(Array(message[start..<min(start + size, message.count)]), lengthBytes: 2)
        }
    }

    private func preSharedKey(_ identities: [[UInt8]]) -> [UInt8] {
        let list = Array(identities.map { vector($0, lengthBytes: 2) + [0, 0, 0, 1] as [UInt8] }.joined())
        return extensionBytes(41, vector(list, lengthBytes: 2) + vector([32] + [UInt8](repeating: 1, count: 32), lengthBytes: 2))
    }

    private let name: [UInt8] = [0, 7, 0, 0, 4, 102, 116, 112, 115]

    @Test func itShowsTicketsAndSessionID() {
        let ticket = [UInt8](repeating: 5, count: 200)
        let first = [UInt8](repeating: 6, count: 180)
        let second = [UInt8](repeating: 7, count: 300)
        let id = [UInt8](1...32)
        let bytes = records(
            message(
                sessionID: id,
                extensions: [extensionBytes(0, name), extensionBytes(35, ticket), preSharedKey([first, second])]))
        guard case .whole(let hello) = ClientHello.read(bytes) else {
            Issue.record("not read")
            return
        }
        #expect(hello.sessionID == id)
        #expect(hello.tickets == [first, second, ticket])
    }

    @Test func oneThatResumesNothingShowsNothing() {
        for extensions in [nil, [], [extensionBytes(35, [])], [extensionBytes(0, name)]] as [[[UInt8]]?] {
            guard case .whole(let hello) = ClientHello.read(records(message(extensions: extensions))) else {
                Issue.record("not read")
                return
            }
            #expect(hello.sessionID.isEmpty)
            #expect(hello.tickets.isEmpty)
        }
    }

    @Test(arguments: [1, 2, 3, 5, 100, 16_384])
    func recordsMayCutItAnywhere(_ size: Int) {
        let whole = message(sessionID: [1], extensions: [preSharedKey([[1, 2, 3]]), extensionBytes(35, [4, 5])])
        let bytes = records(whole, of: size)
        let reading = ClientHello.read(bytes)
        guard case .whole(let hello) = reading else {
            Issue.record("\(reading)")
            return
        }
        #expect(hello.tickets == [[1, 2, 3], [4, 5]])
        // Whatever follows it changes nothing.
        #expect(ClientHello.read(bytes + [23, 3, 3, 0, 1, 0]) == reading)
        for count in 0..<bytes.count { #expect(ClientHello.read(Array(bytes[..<count])) == .incomplete) }
    }

    @Test func whatIsNoTLSIsSaidSo() {
        for text in ["USER anna\r\n", "GET / HTTP/1.1\r\n", "\u{16}USER"] {
            #expect(ClientHello.read(Array(text.utf8)) == .notTLS)
        }
        #expect(ClientHello.read([0x80, 0x2e, 1, 3, 1]) == .notTLS)
    }

    @Test func whatIsBrokenIsUnreadable() {
        let good = message(sessionID: [1], extensions: [preSharedKey([[1, 2, 3]])])
        // Another handshake message, an alert, an empty record.
        #expect(ClientHello.read(records([2] + good.dropFirst())) == .unreadable)
        #expect(ClientHello.read([22, 3, 1, 0, 0]) == .unreadable)
        #expect(ClientHello.read(records(Array(good.prefix(5))) + [21, 3, 3, 0, 2, 1, 0]) == .unreadable)
        // Lengths that lie.
        #expect(ClientHello.read(records([1] + vector([3, 3], lengthBytes: 3))) == .unreadable)
        #expect(ClientHello.read(records(message(sessionID: [UInt8](repeating: 0, count: 33), extensions: []))) == .unreadable)
        #expect(ClientHello.read(records(message(extensions: [[0, 35, 0, 9, 1]]))) == .unreadable)
        #expect(ClientHello.read(records(message(extensions: [extensionBytes(41, [0, 9, 1])]))) == .unreadable)
        #expect(
            ClientHello.read(records(message(extensions: [extensionBytes(41, vector([0, 1, 7, 0], lengthBytes: 2))])))
                == .unreadable)
    }

    @Test func nothingMakesItWaitForEver() {
        // A message that claims to be huge, and one that never gets on.
        #expect(ClientHello.read([22, 3, 1, 64, 0, 1, 255, 255, 255]) == .unreadable)
        let crumbs = (0..<ClientHello.limit).flatMap { _ in [22, 3, 1, 0, 1, 1] as [UInt8] }
        #expect(ClientHello.read(crumbs) == .unreadable)
        let long = records(message(extensions: [extensionBytes(21, [UInt8](repeating: 0, count: 16_000))]))
        for count in [4096, 16_000] { #expect(ClientHello.read(Array(long.prefix(count))) == .incomplete) }
        let endless = [1] + number(ClientHello.limit, 3) + [UInt8](repeating: 0, count: ClientHello.limit)
        #expect(ClientHello.read(Array(records(endless).prefix(ClientHello.limit))) == .unreadable)
    }

    @Test func manyIdentitiesAreCutShort() {
        let identities = (0..<100).map { [UInt8($0)] }
        guard case .whole(let hello) = ClientHello.read(records(message(extensions: [preSharedKey(identities)]))) else {
            Issue.record("not read")
            return
        }
        #expect(hello.tickets == Array(identities.prefix(8)))
    }

    /// Any byte may be anything.
    @Test func noBytesCrashIt() {
        var random = SystemRandomNumberGenerator()
        let good = records(
            message(sessionID: [1, 2], extensions: [extensionBytes(35, [9, 9]), preSharedKey([[1, 2, 3], [4]])]), of: 40)
        for _ in 0..<20_000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            _ = ClientHello.read(Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random))))
        }
    }
}
