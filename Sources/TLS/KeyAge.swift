import COpenSSL

/// How much one connection's keys have protected, and how often the peer has changed its own (RFC 8446 sections 4.6.3 and 5.5).
///
/// Our keys are changed after so many bytes sent; TLS 1.2 could only renegotiate, which is off. The peer is not asked to change
/// its own: it need not read in the middle of an upload, and a request that it never reads would turn its close into a RST.
struct KeyAge {
    private var sentBytes = 0
    /// What the peer may still ask for: a key change costs it nothing and us an answer.
    private var changesLeft = changesAtOnce
    private var bytesTowardsAnother = 0

    private static let changesAtOnce = 100
    /// Whoever moves data earns changes with it.
    private static let bytesPerChange = 64 * 1024

    var isFlooded: Bool { changesLeft < 0 }

    mutating func sent(_ count: Int) { sentBytes += count }

    /// Whether the next write must be under new keys; says so once for each `limit` bytes.
    mutating func mustChange(limit: Int) -> Bool {
        guard limit > 0, sentBytes >= limit else { return false }
        sentBytes = 0
        return true
    }

    mutating func received(_ count: Int) {
        bytesTowardsAnother += count
        guard bytesTowardsAnother >= Self.bytesPerChange else { return }
        changesLeft = min(Self.changesAtOnce, changesLeft + bytesTowardsAnother / Self.bytesPerChange)
        bytesTowardsAnother %= Self.bytesPerChange
    }

    mutating func peerChanged() { changesLeft -= 1 }

    /// Has every connection of the context hear of the peer's key changes.
    static func watch(_ context: OpaquePointer) {
        SSL_CTX_set_msg_callback(context) { isSent, _, type, message, count, ssl, _ in
            guard isSent == 0, type == SSL3_RT_HANDSHAKE, count > 0, let message, let ssl else { return }
            TLSConnection.of(ssl)?.receivedMessage(UnsafeRawBufferPointer(start: message, count: count))
        }
    }
}
