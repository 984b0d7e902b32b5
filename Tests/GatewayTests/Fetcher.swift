import NetIO
import Wire

/// A client that fetches its files one after the other while others do the same: what happens next follows from what comes.
final class Fetcher {
    let client: SimulatedClient
    private let files: [(name: String, bytes: [UInt8])]
    private let resumes: Bool
    /// When the client begins its data handshake.
    private let shakesHandsAfter150: Bool
    private var index = 0
    private var data: TestPeer?
    private var mayShakeHands = false
    private var has226 = false
    private(set) var failures: [String] = []
    private(set) var resumedCount = 0
    var isDone: Bool { index >= files.count || !failures.isEmpty }

    init(
        _ client: SimulatedClient, files: [(name: String, bytes: [UInt8])], resumes: Bool = true,
        shakesHandsAfter150: Bool = false
    ) {
        self.client = client
        self.files = files
        self.resumes = resumes
        self.shakesHandsAfter150 = shakesHandsAfter150
    }

    func start() {
        client.control.onReceive = { [unowned self] in
            while let answer = client.takeAnswer() { answered(answer) }
            if client.control.end != nil, !isDone { fail("control connection ended: \(client.control.end!)") }
        }
        next()
    }

    private func next() {
        data = nil
        has226 = false
        mayShakeHands = !shakesHandsAfter150
        if !isDone { client.say("EPSV") }
    }

    private func fail(_ text: String) { failures.append("\(files[min(index, files.count - 1)].name): \(text)") }

    private func answered(_ answer: SimulatedClient.Answer) {
        switch answer.code {
        case 229:
            guard let port = UInt16(answer.text.filter(\.isNumber)) else { return fail("\(answer)") }
            client.say("RETR \(files[index].name)")
            dial(SocketAddress(ip: SimulatedGateway.ip, port: port))
        case 150:
            mayShakeHands = true
            shakeHands()
        case 226:
            has226 = true
            look()
        default: fail("\(answer)")
        }
    }

    private func dial(_ address: SocketAddress) {
        _ = client.host.connect(to: address, from: nil, within: .seconds(60)) { [weak self] result in
            guard let self else { return }
            guard case .connected(let transport) = result else { return fail("cannot connect: \(result)") }
            let peer = TestPeer(transport as! SimulatedTransport)
            data = peer
            peer.onReceive = { [unowned self] in look() }
            shakeHands()
        }
    }

    private func shakeHands() {
        guard mayShakeHands, let data, data.tls == nil else { return }
        data.startTLS(client.settings, resumes: resumes)
    }

    private func look() {
        guard let data, let end = data.end else { return }
        guard end == .closeNotify else { return fail("data connection ended with \(end)") }
        guard has226 else { return }
        guard data.received == files[index].bytes else { return fail("\(data.received.count) bytes of somebody else's") }
        if data.tls?.isResumed == true { resumedCount += 1 }
        data.onReceive = nil
        data.sendCloseNotify()
        data.close()
        index += 1
        next()
    }
}
