import NetIO
import TLS
import Testing
import Wire

/// An FTPS client that does what the test says, one step after the other.
final class SimulatedClient {
    struct Answer: Equatable, CustomStringConvertible {
        let code: Int
        let text: String
        var description: String { "\(code) \(text)" }
    }

    let gateway: SimulatedGateway
    let host: SimulatedHost
    let settings: ClientTLSSettings
    let control: TestPeer
    private var listening: [any Acceptor] = []

    private var scene: Scene { gateway.scene }

    /// Connects, secures the control connection where it is explicit, logs in, and asks for protected data.
    init(
        _ gateway: SimulatedGateway, _ version: TLSVersion? = .tls13, habit: ClientHabit = .eachTicketOnce,
        at ip: IPAddress = IPAddress(198, 51, 100, 7), settings: ClientTLSSettings? = nil, resumes: Bool = false,
        user: String = "anna", isImplicit: Bool = false, logsIn: Bool = true
    ) throws {
        self.gateway = gateway
        self.settings = settings ?? ClientTLSSettings(version, habit: habit)
        host = gateway.scene.network.host(ip)
        let transport = try #require(host.connected(to: isImplicit ? gateway.implicit : gateway.explicit))
        control = TestPeer(transport)
        if isImplicit {
            control.startTLS(self.settings, resumes: resumes)
            try expect(220)
        } else {
            try expect(220)
            try ask("AUTH TLS", 234)
            control.startTLS(self.settings, resumes: resumes)
            _ = gateway.scene.world.run(until: { self.control.isUp }, within: .seconds(30))
            try #require(control.isUp)
        }
        guard logsIn else { return }
        try ask("USER \(user)", 331)
        try ask("PASS secret", 230)
        try ask("PBSZ 0", 200)
        try ask("PROT P", 200)
    }

    // MARK: - Control

    func say(_ line: String) { control.send(Array((line + "\r\n").utf8)) }

    /// The next reply; nil when none comes in time.
    func answer(within limit: Duration = .seconds(60)) -> Answer? {
        var answer: Answer?
        _ = scene.world.run(
            until: {
                answer = takeAnswer()
                return answer != nil
            }, within: limit)
        return answer
    }

    /// One that is here already.
    func takeAnswer() -> Answer? {
        let bytes = control.peek
        var start = 0
        while let end = bytes[start...].firstIndex(of: 10) {
            let line = String(decoding: bytes[start..<end].filter { $0 != 13 }, as: UTF8.self)
            start = end + 1
            guard line.count >= 3, let code = Int(line.prefix(3)), line.dropFirst(3).first != "-" else { continue }
            _ = control.take()
            control.putBack(Array(bytes[start...]))
            return Answer(code: code, text: String(line.dropFirst(4)))
        }
        return nil
    }

    @discardableResult
    func expect(
        _ code: Int, within limit: Duration = .seconds(60), sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Answer {
        let answer = try #require(self.answer(within: limit), "no \(code) came", sourceLocation: sourceLocation)
        try #require(answer.code == code, "\(answer)", sourceLocation: sourceLocation)
        return answer
    }

    @discardableResult
    func ask(
        _ line: String, _ code: Int, within limit: Duration = .seconds(60), sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Answer {
        say(line)
        return try expect(code, within: limit, sourceLocation: sourceLocation)
    }

    /// Whether nothing comes for so long.
    func isSilent(for limit: Duration) -> Bool { answer(within: limit) == nil }

    // MARK: - Data

    /// PASV or EPSV, and where to connect to then.
    func passive(_ verb: String = "EPSV", sourceLocation: SourceLocation = #_sourceLocation) throws -> SocketAddress {
        if verb == "EPSV" {
            let text = try ask("EPSV", 229, sourceLocation: sourceLocation).text
            let port = try #require(UInt16(text.filter(\.isNumber)))
            return SocketAddress(ip: SimulatedGateway.ip, port: port)
        }
        let text = try ask("PASV", 227, sourceLocation: sourceLocation).text
        let numbers = text.split { !$0.isNumber }.compactMap { UInt8($0) }
        try #require(numbers.count == 6)
        return SocketAddress(
            ip: IPAddress(numbers[0], numbers[1], numbers[2], numbers[3]), port: UInt16(numbers[4]) << 8 | UInt16(numbers[5]))
    }

    /// Connects there; TLS where wished.
    func dial(_ address: SocketAddress, tls: Bool = true, resumes: Bool = true) throws -> TestPeer {
        let peer = TestPeer(try #require(host.connected(to: address)))
        if tls { peer.startTLS(settings, resumes: resumes) }
        return peer
    }

    /// Listens for the gateway, in active mode.
    /// - Returns: what asks for the connection once it has come, and the command that says where.
    func listen(_ verb: String = "PORT") throws -> (peer: () -> TestPeer?, command: String) {
        var accepted: TestPeer?
        let acceptor = try host.listen(on: SocketAddress(ip: host.ip, port: 0)) { accepted = TestPeer($0 as! SimulatedTransport) }
        let address = acceptor.address
        let command =
            verb == "PORT"
            ? "PORT "
                + (address.ip.octets + [UInt8(address.port >> 8), UInt8(address.port & 255)]).map(String.init).joined(
                    separator: ",")
            : "EPRT |\(address.ip.family == .v4 ? 1 : 2)|\(address.ip)|\(address.port)|"
        listening.append(acceptor)
        return ({ accepted }, command)
    }

    /// Whether it holds before long.
    func comesTrue(within limit: Duration = .seconds(60), _ condition: () -> Bool) -> Bool {
        scene.world.run(until: condition, within: limit)
    }

    /// A whole download, as most programs do it.
    func retrieve(_ name: String, verb: String = "EPSV") throws -> [UInt8] {
        let address = try passive(verb)
        say("RETR \(name)")
        let data = try dial(address)
        try expect(150)
        try #require(comesTrue { data.end != nil })
        try #require(data.end == .closeNotify)
        data.sendCloseNotify()
        data.close()
        try expect(226)
        return data.take()
    }

    /// A whole upload.
    func store(_ bytes: [UInt8], as name: String, verb: String = "EPSV") throws {
        let address = try passive(verb)
        say("STOR \(name)")
        let data = try dial(address)
        try expect(150)
        try #require(comesTrue { data.isUp })
        data.send(bytes)
        data.sendCloseNotify()
        data.close()
        try expect(226)
    }
}
