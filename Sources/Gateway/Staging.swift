import NetIO
import TLS

/// A worker's areas for bytes on their way through: one set for all of its connections.
///
/// A connection uses them within one operation only; what is left over at its end moves to the connection's own storage. So an
/// idle connection holds no buffer at all, and a busy one batches many TLS records into one system call.
final class Staging {
    /// Ciphertext (or clear bytes) as received.
    let incoming = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
    /// Bytes between being read from one side and written to the other.
    let plaintext = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
    /// Records made by OpenSSL, before they are sent.
    let outgoing = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
    /// Room for replies and commands that are about to be sent, wiped and empty.
    private var outboxes: [[UInt8]] = []
    /// Where OpenSSL's records come from and go to.
    let records = RecordBIO()
    /// For what connections keep.
    let pool = BufferPool()
    /// For transfers that the kernel can do alone.
    let pipes = KernelPipes()

    /// Holds the largest batch, and a record's overhead for each of its records.
    static let size = largestBatch + 64 * 1024
    static let largestBatch = 1024 * 1024
    static let smallestBatch = 32 * 1024
    /// A TLS record's payload (RFC 8446 section 5.1).
    static let recordSize = 16 * 1024

    /// Gives back what a busy time has left. Between two operations nothing in here is anybody's.
    func trim() {
        pool.trim()
        pipes.trim()
        for area in [incoming, plaintext, outgoing] { Memory.release(area) }
    }

    /// Larger ones do not stay.
    private static let outboxSize = 4096
    /// A session's turn fills two at most: what goes to its client, and what goes to its backend.
    private static let outboxCount = 2

    func takeOutbox() -> [UInt8] { outboxes.popLast() ?? [] }

    /// - Parameter outbox: overwritten, since a password may have been in it.
    func giveBack(outbox: consuming [UInt8]) {
        guard outbox.capacity <= Self.outboxSize, outboxes.count < Self.outboxCount else { return }
        outbox.removeAll(keepingCapacity: true)
        outboxes.append(outbox)
    }

    deinit {
        incoming.deallocate()
        plaintext.deallocate()
        outgoing.deallocate()
    }
}
