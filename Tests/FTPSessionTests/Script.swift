import FTPProtocol
import Wire

@testable import FTPSession

/// Events and actions as text: what transcripts and the table of transitions are written in.
enum Script {
    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    // MARK: - Reading

    /// What stands behind "* " in a transcript.
    static func event(_ text: String) throws -> Event {
        let words = text.split(separator: " ").map(String.init)
        func rest(after count: Int) -> String { words.dropFirst(count).joined(separator: " ") }
        func address(_ index: Int) throws -> SocketAddress {
            guard words.count > index, let address = SocketAddress(words[index]) else {
                throw Problem(description: "no address in: \(text)")
            }
            return address
        }
        for timer in Timer.allCases where text == "timer \(timer)" { return .timerFired(timer) }
        for failure in failures where text == "backend data failed: \(failure.label)" { return .backendDataFailed(failure) }
        switch text {
        case "accepted": return .accepted
        case "secured": return .clientSecured
        case "client gone": return .clientGone(.clientClosed)
        case "client reset": return .clientGone(.clientReset(errno: 104))
        case "certificate rejected": return .clientGone(.certificateRejected("expired"))
        case "tls failed": return .clientGone(.tlsFailed("no shared cipher"))
        case "tls on an explicit port": return .clientGone(.tlsOnExplicitPort)
        case "backend closed": return .backendClosed
        case "backend endless reply": return .backendSentEndlessReply
        case "backend connect timeout": return .backendConnectTimedOut
        case "no passive port": return .noPassivePort
        case "backend data connected": return .backendDataConnected
        case "client data began": return .clientDataBegan
        case "client data ready": return .clientDataReady
        case "drain": return .drainRequested
        default: break
        }
        if text.hasPrefix("certified ") { return .clientCertified(users: Array(words.dropFirst())) }
        if text.hasPrefix("backend connected") { return .backendConnected(BackendFacts(address: try address(2))) }
        if text.hasPrefix("backend unavailable: ") { return .backendUnavailable(rest(after: 2)) }
        if text.hasPrefix("data port for client") { return .clientDataListening(try address(4)) }
        if text.hasPrefix("data port for backend") { return .backendDataListening(try address(4)) }
        if text.hasPrefix("data ended: ") { return .dataEnded(try outcome(Array(words.dropFirst(2)))) }
        throw Problem(description: "no such event: \(text)")
    }

    /// "completed 9 bytes", or "LABEL after 9 bytes".
    private static func outcome(_ words: [String]) throws -> DataOutcome {
        if words.count == 3, words[0] == "completed", let bytes = Int(words[1]) { return .completed(bytes: bytes) }
        guard words.count == 4, let bytes = Int(words[2]), let failure = failures.first(where: { $0.label == words[0] }) else {
            throw Problem(description: "no such outcome: \(words.joined(separator: " "))")
        }
        return .failed(failure, bytes: bytes)
    }

    /// Made each time: the leak checker cannot follow an indirect enum's pointers, and would report those of a constant.
    static var failures: [DataFailure] {
        [
            .clientNeverConnected(SocketAddress("203.0.113.1:50000")!),
            .clientRefused(SocketAddress("198.51.100.7:40001")!, reason: "connection refused"),
            .clientUnreachable(SocketAddress("198.51.100.7:40001")!, reason: "no route to host"),
            .noHandshake, .handshakeFailed("no shared cipher"), .handshakeTimeout, .notResumed, .foreignSession,
            .certificateDiffers,
            .uploadTruncated, .clientClosedEarly, .stalled, .backendRefused, .backendTimeout,
            .backendUnreachable("no route to host"),
            .backendBroke,
        ]
    }

    // MARK: - Writing

    /// One line for each; replies of several lines take one for each of theirs.
    static func text(_ action: Action) -> [String] {
        switch action {
        case .replyToClient(let reply): lines("→C ", reply.bytes)
        case .relayToClient(let bytes): lines("→C… ", bytes)
        case .startTLS: ["→ start TLS"]
        case .stopTLS: ["→ stop TLS"]
        case .issueTicket: ["→ ticket"]
        case .connectBackend: ["→ connect backend"]
        case .sendToBackend(let command): ["→B " + escaped(command.line)]
        case .remember(let memory): ["→ remember: " + text(memory)]
        case .listenForClient: ["→ listen for client"]
        case .planClient(let address): ["→ client is to be dialled at \(address)"]
        case .dialClient: ["→ dial client"]
        case .dialBackendData(let address): ["→ dial backend data \(address)"]
        case .listenForBackend(let family): ["→ listen for backend \(family)"]
        case .protectData(let isPrivate): ["→ data " + (isPrivate ? "private" : "clear")]
        case .awaitClientData: ["→ await client data"]
        case .startRelay(let direction, _): ["→ relay \(direction.rawValue)"]
        case .endData(let ending): ["→ end data: \(ending)"]
        case .setTimer(let timer): ["→ timer \(timer)"]
        case .cancelTimer(let timer): ["→ no timer \(timer)"]
        case .note(let note): ["→ note: " + text(note)]
        case .close(let reason): ["→ close \(reason.label)" + (reason.detail.map { " (\($0))" } ?? "")]
        }
    }

    private static func lines(_ mark: String, _ bytes: [UInt8]) -> [String] {
        Reply(code: 0, bytes: bytes).lines.enumerated().map { ($0 == 0 ? mark : " | ") + escaped($1) }
    }

    private static func text(_ memory: BackendMemory) -> String {
        let refused = [
            ("EPSV", memory.refusesEPSV), ("PASV", memory.refusesPASV), ("EPRT", memory.refusesEPRT),
            ("PORT", memory.refusesPORT),
        ]
        return "refuses " + refused.filter(\.1).map(\.0).joined(separator: " ")
    }

    private static func text(_ note: Note) -> String {
        switch note {
        case .loggedIn(let user): "logged in \(user)"
        case .loginFailed(let user): "login failed \(user)"
        case .controlCleared: "control cleared"
        case .refused(let refusal, let command): "refused \(refusal.rawValue) \(command)"
        case .malformedLine(let malformed): "malformed \(malformed.rawValue)"
        case .unexpectedReply(let verb, let code): "unexpected reply \(code) to \(verb)"
        case .unaskedReply(let code): "unasked reply \(code)"
        case .backendNonsense: "backend nonsense"
        case .backendMayHaveKeptUpload(let bytes): "backend may have kept the upload, \(bytes) bytes"
        case .transferEnded(let record):
            "transfer \(record.command.verb) \(record.code) \(record.interruption?.label ?? text(record.outcome))"
        }
    }

    private static func text(_ outcome: DataOutcome?) -> String {
        switch outcome {
        case .completed(let bytes): "completed \(bytes)"
        case .failed(let failure, let bytes): "\(failure.label) \(bytes)"
        case nil: "unknown"
        }
    }

    // MARK: - Bytes

    /// Printable ASCII and UTF-8 as they are; control characters and broken UTF-8 as \xNN.
    static func escaped(_ bytes: [UInt8]) -> String {
        let text = String(decoding: bytes, as: UTF8.self)
        let isUTF8 = text.utf8.elementsEqual(bytes)
        let scalars = isUTF8 ? Array(text.unicodeScalars) : bytes.map { Unicode.Scalar($0) }
        return scalars.reduce(into: "") { result, scalar in
            switch scalar.value {
            case 92: result += "\\\\"
            case 32..<127: result.unicodeScalars.append(scalar)
            case 160... where isUTF8: result.unicodeScalars.append(scalar)
            default: result += "\\x" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            }
        }
    }

    /// {x*256} written out.
    static func expanded(_ text: String) -> String {
        guard let open = text.firstIndex(of: "{"), let close = text.lastIndex(of: "}") else { return text }
        let parts = text[text.index(after: open)..<close].split(separator: "*")
        guard parts.count == 2, let count = Int(parts[1]) else { return text }
        return text[..<open] + String(repeating: String(parts[0]), count: count) + text[text.index(after: close)...]
    }

    /// The bytes of a line in a transcript: \xNN and \\ stand for bytes, {x*9000} for repetition.
    static func bytes(_ text: some StringProtocol) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\") {
                guard let kind = rest.popFirst() else { throw Problem(description: "a backslash at the end of: \(text)") }
                if kind == UInt8(ascii: "\\") {
                    bytes.append(kind)
                } else if let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16), kind == UInt8(ascii: "x")
                {
                    bytes.append(value)
                    rest = rest.dropFirst(2)
                } else {
                    throw Problem(description: "write \\xNN or \\\\ in: \(text)")
                }
            } else if byte == UInt8(ascii: "{"), let end = rest.firstIndex(of: UInt8(ascii: "}")) {
                let parts = rest[..<end].split(separator: UInt8(ascii: "*"))
                guard parts.count == 2, let count = Int(String(decoding: parts[1], as: UTF8.self)) else {
                    throw Problem(description: "write {text*count} in: \(text)")
                }
                for _ in 0..<count { bytes += parts[0] }
                rest = rest[(end + 1)...]
            } else {
                bytes.append(byte)
            }
        }
        return bytes
    }
}
