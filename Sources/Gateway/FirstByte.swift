import NetIO

/// Waits for a new client's first byte, where one port serves explicit and implicit FTPS (`--autodetect`).
///
/// A client of implicit FTPS speaks first, one of explicit FTPS waits for the greeting: silence means explicit.
final class FirstByte {
    private let channel: ControlChannel
    private var timer: (any Timer)?
    private let onDecided: (_ isImplicit: Bool) -> Void

    private static let patience: Duration = .milliseconds(250)
    /// The first byte of a TLS handshake record (RFC 8446 section 5.1).
    static let ofTLS: UInt8 = 0x16

    init(_ channel: ControlChannel, scheduler: any Scheduler, _ onDecided: @escaping (_ isImplicit: Bool) -> Void) {
        self.channel = channel
        self.onDecided = onDecided
        channel.stream.transport.onReady = { [unowned self] in look() }
        timer = scheduler.makeTimer { [unowned self] in decide(false) }
        timer?.start(after: Self.patience)
        channel.stream.transport.wake()
    }

    private func look() {
        if let byte = channel.stream.firstUnreadByte() { decide(byte == Self.ofTLS) }
    }

    private func decide(_ isImplicit: Bool) {
        guard timer != nil else { return }
        timer?.cancel()
        timer = nil
        channel.stream.transport.onReady = nil
        onDecided(isImplicit)
    }
}
