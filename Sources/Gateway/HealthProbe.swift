import NetIO
import TLS
public import Wire

/// Asks a running gateway, as a client would, whether it serves: an explicit listener must greet, and an implicit one must
/// finish a TLS handshake. Nothing is sent that a backend would hear of.
public final class HealthProbe {
    public enum Verdict: Equatable, Sendable {
        case healthy
        /// One sentence.
        case unhealthy(String)
    }

    private let address: SocketAddress
    private let isImplicit: Bool
    private let mayBeTurnedAway: Bool
    private let loop: EventLoop
    private var attempt: (any ConnectAttempt)?
    private var transport: (any Transport)?
    private var handshake: ClientHandshake?
    private var clock: LoopTimer?
    private var received: [UInt8] = []
    private var verdict: Verdict?

    private static let greetingLimit = 4096

    /// - Parameter mayBeTurnedAway: the gateway's lists refuse this machine's address, so that a closed connection is its answer.
    private init(_ address: SocketAddress, isImplicit: Bool, mayBeTurnedAway: Bool) throws(StartError) {
        self.address = address
        self.isImplicit = isImplicit
        self.mayBeTurnedAway = mayBeTurnedAway
        do throws(SystemError) {
            loop = try EventLoop()
        } catch {
            throw StartError(description: "\(error).")
        }
    }

    /// Takes at most `limit`.
    public static func ask(
        _ address: SocketAddress, isImplicit: Bool, mayBeTurnedAway: Bool, within limit: Duration
    ) throws(StartError) -> Verdict {
        try HealthProbe(address, isImplicit: isImplicit, mayBeTurnedAway: mayBeTurnedAway).run(within: limit)
    }

    private func run(within limit: Duration) throws(StartError) -> Verdict {
        if isImplicit {
            do throws(TLSConfigurationError) {
                handshake = try ClientHandshake()
            } catch {
                throw StartError(description: error.description)
            }
        }
        let clock = LoopTimer(loop: loop) { [unowned self] in
            end(.unhealthy("\(address) did not \(isImplicit ? "answer the TLS handshake" : "greet") within \(limit)."))
        }
        clock.start(after: limit)
        self.clock = clock
        attempt = SystemNetwork(loop: loop).connect(to: address, from: nil, within: limit) { [unowned self] in connected($0) }
        loop.run()
        return verdict ?? .unhealthy("\(address) gave no answer.")
    }

    private func connected(_ result: ConnectResult) {
        switch result {
        case .connected(let transport):
            self.transport = transport
            transport.onReady = { [unowned self] in ready() }
            if handshake != nil { shakeHands([]) }
            ready()
        case .failed(let code): end(.unhealthy("\(address) cannot be connected to: \(SystemError.text(code))."))
        case .timedOut: end(.unhealthy("\(address) cannot be connected to: timed out."))
        }
    }

    private func ready() {
        guard let transport else { return }
        withUnsafeTemporaryAllocation(byteCount: Self.greetingLimit, alignment: 1) { buffer in
            while verdict == nil {
                switch transport.receive(into: buffer) {
                case .bytes(let count):
                    let bytes = Array(buffer[..<count])
                    if handshake == nil { greeted(bytes) } else { shakeHands(bytes) }
                case .wouldBlock: return
                case .endOfStream where mayBeTurnedAway: end(.healthy)
                case .endOfStream, .failed: end(.unhealthy("\(address) closed the connection without a greeting."))
                }
            }
        }
    }

    /// 220 is the greeting; 421 says that enough clients are here already: it serves.
    private func greeted(_ bytes: [UInt8]) {
        received += bytes
        guard received.contains(UInt8(ascii: "\n")) || received.count >= Self.greetingLimit else { return }
        let code = String(decoding: received.prefix(4), as: UTF8.self)
        if code == "220 " || code == "220-" || code == "421 " { return end(.healthy) }
        end(
            .unhealthy(
                "\(address) greeted with \"\(code.filter { $0.isASCII && !$0.isNewline })...\" instead of 220: it is no FTP gateway."
            ))
    }

    private func shakeHands(_ bytes: [UInt8]) {
        guard let handshake, let transport else { return }
        let (step, toSend) = handshake.step(received: bytes)
        // A flight of a handshake is small: a fresh connection takes it whole.
        if !toSend.isEmpty { _ = toSend.withUnsafeBytes { transport.send($0) } }
        switch step {
        case .wantsRead: break
        case .done: end(.healthy)
        case .failed(let reason): end(.unhealthy("\(address) failed the TLS handshake: \(reason)."))
        }
    }

    private func end(_ verdict: Verdict) {
        guard self.verdict == nil else { return }
        self.verdict = verdict
        transport?.close()
        attempt?.cancel()
        loop.stop()
    }
}
