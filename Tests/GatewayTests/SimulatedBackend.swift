import NetIO
import Wire

/// A plain FTP server in a test's hands: it does what servers do, but for what the test has it do otherwise.
final class SimulatedBackend {
    /// An upload as it arrived.
    struct Stored: Equatable {
        let name: String
        let bytes: [UInt8]
        let end: TestPeer.End
    }

    /// One control connection.
    final class Session {
        fileprivate let backend: SimulatedBackend
        let peer: TestPeer
        private var acceptor: (any Acceptor)?
        private var target: SocketAddress?
        private(set) var data: TestPeer?
        private var onData: ((TestPeer) -> Void)?

        fileprivate init(_ backend: SimulatedBackend, _ peer: TestPeer) {
            self.backend = backend
            self.peer = peer
            peer.onReceive = { [unowned self] in readLines() }
            say(backend.greeting)
        }

        var world: SimulatedWorld { backend.scene.world }

        func say(_ text: String) { peer.sendRaw(Array((text + "\r\n").utf8)) }

        private func readLines() {
            while let end = peer.peek.firstIndex(of: 10) {
                let bytes = peer.take()
                peer.putBack(Array(bytes[(end + 1)...]))
                let line = String(decoding: bytes[..<end].filter { $0 != 13 }, as: UTF8.self)
                backend.commands.append(line)
                let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
                let argument = parts.count > 1 ? String(parts[1]) : ""
                if let handler = backend.handlers[String(parts[0])] { handler(self, argument) } else { say("502 Unknown.") }
            }
        }

        // MARK: Data

        /// Opens a port and says which, or says nothing.
        func listen(port: UInt16 = 0, _ reply: ((SocketAddress) -> String)? = nil) {
            forgetData()
            do {
                let acceptor = try backend.host.listen(on: SocketAddress(ip: backend.host.ip, port: port)) { [unowned self] in
                    self.acceptor?.close()
                    connected(TestPeer($0 as! SimulatedTransport))
                }
                self.acceptor = acceptor
                if let reply { say(reply(acceptor.address)) }
            } catch {
                preconditionFailure("a simulated port is always free")
            }
        }

        /// Will connect there with the next transfer.
        func aim(at target: SocketAddress) {
            forgetData()
            self.target = target
        }

        func forgetData() {
            acceptor?.close()
            acceptor = nil
            data = nil
            target = nil
        }

        /// Runs `body` once the data connection is there.
        func withData(_ body: @escaping (TestPeer) -> Void) {
            if let data { return body(data) }
            onData = body
            guard let target else { return }
            self.target = nil
            _ = backend.host.connect(to: target, from: nil, within: .seconds(10)) { [unowned self] in
                if case .connected(let transport) = $0 {
                    connected(TestPeer(transport as! SimulatedTransport))
                } else {
                    say("425 No.")
                }
            }
        }

        private func connected(_ peer: TestPeer) {
            data = peer
            let body = onData
            onData = nil
            body?(peer)
        }

        // MARK: Transfers

        func sendFile(_ bytes: [UInt8], preliminary: String = "150 Here it comes.", final: String = "226 Transfer complete.") {
            say(preliminary)
            withData { [unowned self] data in
                data.send(bytes)
                data.close()
                data.whenSent { [unowned self] in
                    self.data = nil
                    say(final)
                }
            }
        }

        func receiveFile(
            _ name: String, preliminary: String = "150 Send it.",
            onEnd: @escaping (Session, Stored) -> Void = { session, stored in
                session.say(stored.end == .fin ? "226 Transfer complete." : "426 Connection broken.")
            }
        ) {
            say(preliminary)
            withData { [unowned self] data in
                let look = { [unowned self, unowned data] in
                    guard let end = data.end else { return }
                    data.onReceive = nil
                    let stored = Stored(name: name, bytes: data.take(), end: end)
                    backend.stored.append(stored)
                    data.close()
                    self.data = nil
                    onEnd(self, stored)
                }
                data.onReceive = look
                look()
            }
        }
    }

    typealias Handler = (Session, String) -> Void

    let scene: Scene
    let host: SimulatedHost
    let address: SocketAddress
    var greeting = "220 Backend."
    var handlers: [String: Handler] = SimulatedBackend.usualHandlers
    var files: [String: [UInt8]] = [:]
    private(set) var stored: [Stored] = []
    /// Every line that ever came, of all sessions.
    private(set) var commands: [String] = []
    private(set) var sessions: [Session] = []
    private var acceptor: (any Acceptor)?

    init(_ scene: Scene, at ip: IPAddress = IPAddress(10, 0, 0, 9)) throws {
        self.scene = scene
        host = scene.network.host(ip)
        address = SocketAddress(ip: ip, port: 21)
        acceptor = try host.listen(on: address) { [unowned self] in
            sessions.append(Session(self, TestPeer($0 as! SimulatedTransport)))
        }
    }

    /// Commands but for the login.
    var commandsAfterLogin: [String] { commands.filter { !$0.hasPrefix("USER") && !$0.hasPrefix("PASS") } }

    private static var usualHandlers: [String: Handler] {
        [
            "USER": { session, _ in session.say("331 Password?") },
            "PASS": { session, _ in session.say("230 Welcome.") },
            "NOOP": { session, _ in session.say("200 Done.") },
            "TYPE": { session, _ in session.say("200 Done.") },
            "REST": { session, _ in session.say("350 Restarting.") },
            "SYST": { session, _ in session.say("215 UNIX Type: L8") },
            "STAT": { session, _ in session.say("211 Fine.") },
            "PWD": { session, _ in session.say("257 \"/\"") },
            "QUIT": { session, _ in
                session.say("221 Goodbye.")
                session.peer.close()
            },
            "PASV": { session, _ in
                session.listen { address in
                    let numbers = address.ip.octets.map { "\($0)" } + ["\(address.port >> 8)", "\(address.port & 255)"]
                    return "227 Entering Passive Mode (\(numbers.joined(separator: ",")))."
                }
            },
            "EPSV": { session, _ in session.listen { "229 Entering Extended Passive Mode (|||\($0.port)|)" } },
            "PORT": { session, argument in
                let numbers = argument.split(separator: ",").compactMap { UInt8($0) }
                guard numbers.count == 6 else { return session.say("501 What?") }
                session.aim(
                    at: SocketAddress(
                        ip: IPAddress(numbers[0], numbers[1], numbers[2], numbers[3]),
                        port: UInt16(numbers[4]) << 8 | UInt16(numbers[5])))
                session.say("200 PORT done.")
            },
            "EPRT": { session, argument in
                let parts = argument.split(separator: "|")
                guard parts.count == 3, let ip = IPAddress(String(parts[1])), let port = UInt16(parts[2]) else {
                    return session.say("501 What?")
                }
                session.aim(at: SocketAddress(ip: ip, port: port))
                session.say("200 EPRT done.")
            },
            "RETR": { session, name in
                guard let bytes = session.backend.files[name] else { return session.say("550 No such file.") }
                session.sendFile(bytes)
            },
            "LIST": { session, _ in session.sendFile(Array("-rw-r--r-- 1 a b 3 Jan 1 00:00 x\r\n".utf8)) },
            "NLST": { session, _ in session.sendFile(Array("x\r\n".utf8)) },
            "MLSD": { session, _ in session.sendFile(Array("type=file; x\r\n".utf8)) },
            "STOR": { session, name in session.receiveFile(name) },
            "APPE": { session, name in session.receiveFile(name) },
            "STOU": { session, _ in session.receiveFile("unique.1", preliminary: "150 FILE: unique.1") },
            "ABOR": { session, _ in
                if let data = session.data {
                    data.reset()
                    session.forgetData()
                    session.say("426 Aborted.")
                    session.say("226 ABOR done.")
                } else {
                    session.say("225 Nothing to abort.")
                }
            },
        ]
    }
}
