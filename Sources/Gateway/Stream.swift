import NetIO
import TLS
import Wire

/// One connection's bytes, clear or encrypted behind the same verbs.
///
/// `read` makes one receive and hands out everything that it brought; `write` takes everything and makes one send, unless more
/// is to join it. What cannot be sent now is kept, so the one who writes looks at `hasUnsent` before making more. OpenSSL reads and writes through this
/// type (`RecordTransport`) and never sees the socket.
final class Stream: RecordTransport {
    enum Read: Equatable {
        case bytes(Int)
        case wouldBlock
        case end(End)
    }

    /// How the peer's bytes ended.
    enum End: Equatable {
        /// FIN on a clear connection.
        case fin
        case closeNotify
        /// FIN without close_notify.
        case truncated(atRecordBoundary: Bool)
        case failed(TLSError)
    }

    let transport: any Transport
    private(set) var tls: TLSConnection?
    private let staging: Staging

    /// Received, and in the staging area until the operation ends.
    private var staged = 0..<0
    /// Received in an earlier operation and not used up by it.
    private var stash: KeptBytes
    /// To be sent, before anything new.
    private var unsent: KeptBytes
    /// Records in the staging area that were made and not yet sent.
    private var madeCount = 0
    private var receivesLeft = 0
    private var receiveLimit = 0
    private var isReceiveBlocked = false
    /// The connection's end or failure, not yet heard by OpenSSL.
    private var receivedEnd: RecordIO?
    private var lastEnd: End?
    private(set) var sendFailure: Int32?
    /// For the kernel to encrypt, behind all else.
    private var closeNotify: [UInt8]?
    /// Bytes from the peer so far, as they came.
    private(set) var receivedCount = 0

    init(_ transport: any Transport, staging: Staging) {
        self.transport = transport
        self.staging = staging
        stash = KeptBytes(staging.pool)
        unsent = KeptBytes(staging.pool)
    }

    // MARK: - TLS

    /// From here on everything is TLS, with us as the server.
    func startTLS(_ context: TLSContext, _ role: TLSConnection.Role) {
        tls = TLSConnection(
            context: context, transport: self, role: role, port: transport.localPort, bio: staging.records)
    }

    /// Back to clear bytes: those behind the peer's close_notify are read next.
    func stopTLS() {
        tls = nil
        lastEnd = nil
    }

    func handshake() -> TLSConnection.Step {
        guard let tls else { return .done }
        beginReceiving(limit: Staging.recordSize + 512, receives: 64)
        // OpenSSL has nothing to say before the peer has.
        if stash.isEmpty, receive() == .wouldBlock { return .wantsRead }
        defer { endOperation() }
        let step = tls.handshake()
        // More may be here: no readiness will tell of what was there before.
        if step == .wantsRead, !isReceiveBlocked { transport.wake() }
        return step
    }

    /// - Parameter isLast: FIN follows at once, and travels with it.
    func sendCloseNotify(isLast: Bool = false) {
        if let tls, tls.sendsInKernel {
            closeNotify = tls.takeCloseNotify() ?? closeNotify
            _ = sendKept()
            return
        }
        _ = tls?.sendCloseNotify()
        sendMade(moreFollows: isLast)
        endOperation()
    }

    /// The first byte that is here, or in the kernel, and that nobody has asked for yet. Takes such bytes in.
    func firstUnreadByte() -> UInt8? {
        if let first = stash.bytes.first { return first }
        guard case .bytes(let count) = transport.receive(into: staging.incoming) else { return nil }
        staged = 0..<count
        stashLeftover()
        return stash.bytes.first
    }

    /// Whether the peer goes on in the clear, without having ended TLS: no record begins with this byte (RFC 8446 section 5.1).
    var hasLeftTLS: Bool {
        guard let tls, tls.isBetweenRecords, !tls.hasBufferedPlaintext, let byte = firstUnreadByte() else { return false }
        return !Self.recordTypes.contains(byte)
    }

    private static let recordTypes: ClosedRange<UInt8> = 20...24

    // MARK: - Reading

    /// Reads what one receive of up to `limit` bytes brings. `buffer` has room for it and one record more.
    func read(into buffer: UnsafeMutableRawBufferPointer, limit: Int) -> Read {
        if let lastEnd { return .end(lastEnd) }
        // The end of the handshake may still be on its way, and the peer waits for it.
        if hasUnsent { flush() }
        guard let tls else { return readClear(into: buffer, limit: limit) }
        beginReceiving(limit: limit, receives: 1)
        // OpenSSL makes and throws away a buffer whenever it is asked in vain, and a session asks with every step.
        if stash.isEmpty, !tls.hasBufferedPlaintext, receive() == .wouldBlock { return .wouldBlock }
        defer { endOperation() }
        var total = 0
        while buffer.count - total >= Staging.recordSize {
            switch tls.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[total...])) {
            case .bytes(let count):
                total += count
                // Nothing is left of what came; the rest of a record is never in OpenSSL's hands.
                if staged.isEmpty, stash.isEmpty, !tls.hasBufferedPlaintext { return .bytes(total) }
            case .wantsRead, .wantsWrite:
                if total > 0 { return .bytes(total) }
                if isReceiveBlocked { return .wouldBlock }
                // Less than a whole record has come so far.
                receivesLeft = 1
            case .closeNotify: return ended(.closeNotify, after: total)
            case .truncated(let atRecordBoundary): return ended(.truncated(atRecordBoundary: atRecordBoundary), after: total)
            case .failed(let error): return ended(.failed(error), after: total)
            }
        }
        return .bytes(total)
    }

    private func readClear(into buffer: UnsafeMutableRawBufferPointer, limit: Int) -> Read {
        if !stash.isEmpty { return .bytes(takeStash(into: buffer)) }
        switch transport.receive(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(limit, buffer.count)])) {
        case .bytes(let count):
            receivedCount += count
            return .bytes(count)
        case .wouldBlock: return .wouldBlock
        case .endOfStream: return ended(.fin, after: 0)
        case .failed(let errno): return ended(.failed(.transport(errno: errno)), after: 0)
        }
    }

    private func ended(_ end: End, after total: Int) -> Read {
        lastEnd = end
        return total > 0 ? .bytes(total) : .end(end)
    }

    // MARK: - Within the kernel

    /// Whether the next bytes to be read are the peer's own, and still with the kernel.
    var isTransparentForReading: Bool { tls == nil && stash.isEmpty && lastEnd == nil }
    /// Whether what is written goes out as it is, and nothing waits in front of it.
    var isTransparentForWriting: Bool { sendsClear && madeCount == 0 && unsent.isEmpty }
    /// What is written goes into the transport as it is: there is no TLS, or the kernel makes its records.
    var sendsClear: Bool { tls?.sendsInKernel ?? true }

    /// Has the kernel make the records from here on; nothing may wait to be sent.
    /// - Returns: whether it does.
    func encryptInKernel() -> Bool {
        guard let tls, madeCount == 0, unsent.isEmpty else { return false }
        return tls.moveSending { transport.encrypt(with: $0) }
    }

    /// As `read`, into an empty pipe; nil where the kernel cannot do it.
    func read(into pipe: KernelPipe, limit: Int) -> Read? {
        switch transport.receive(into: pipe, limit: limit) {
        case nil: return nil
        case .bytes(let count):
            receivedCount += count
            return .bytes(count)
        case .wouldBlock: return .wouldBlock
        case .endOfStream: return ended(.fin, after: 0)
        case .failed(let errno): return ended(.failed(.transport(errno: errno)), after: 0)
        }
    }

    /// Sends what the pipe holds. True when it is empty; nil where the kernel cannot do it.
    func flush(_ pipe: KernelPipe) -> Bool? {
        while pipe.heldCount > 0, sendFailure == nil {
            switch transport.send(from: pipe) {
            case nil: return nil
            case .bytes: continue
            case .wouldBlock, .endOfStream: return false
            case .failed(let errno): sendFailure = errno
            }
        }
        return sendFailure == nil
    }

    // MARK: - Writing

    /// Bytes that the connection did not take: nothing more should be made before they are gone.
    var hasUnsent: Bool { !unsent.isEmpty || closeNotify != nil }
    var unsentCount: Int { unsent.count }
    /// The peer's bytes have ended, and all of them have been read.
    var hasEnded: Bool { lastEnd != nil }
    /// Nothing can come any more, and nothing waits to be sent.
    var isSpent: Bool { (lastEnd == .fin || receivedEnd == .endOfStream) && !hasUnsent && madeCount == 0 }

    /// Takes all of `bytes`; what the connection does not take now is kept for `flush`.
    ///
    /// - Parameter moreFollows: another write, a close_notify or a FIN comes at once and is to travel with this. Records then
    ///   wait in the staging area: no other stream may make any before `flush`.
    func write(_ bytes: UnsafeRawBufferPointer, moreFollows: Bool = false) {
        guard sendFailure == nil, !bytes.isEmpty else { return }
        guard let tls, !tls.sendsInKernel else { return sendOrKeep(bytes, moreFollows: moreFollows) }
        var rest = bytes
        while !rest.isEmpty {
            guard case .bytes(let count) = tls.write(rest) else {
                // Records always find room here: nothing but a broken connection stops them.
                sendFailure = sendFailure ?? SystemError.brokenPipe
                break
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
        if !moreFollows { endOperation() }
    }

    func write(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { write($0) }
    }

    /// Sends what waits and what was kept. True when nothing is left.
    @discardableResult
    func flush() -> Bool {
        sendMade()
        return sendKept()
    }

    private func sendKept() -> Bool {
        while !unsent.isEmpty, sendFailure == nil {
            switch transport.send(unsent.bytes) {
            case .bytes(let count): unsent.drop(count)
            case .wouldBlock, .endOfStream: return false
            case .failed(let errno): sendFailure = errno
            }
        }
        if sendFailure == nil, closeNotify != nil { return sendCloseNotifyInKernel() }
        if sendFailure != nil { unsent.clear() }
        return sendFailure == nil
    }

    /// The kernel takes bytes before it has room for their records, keeps those records back, and drops them when FIN is sent: then
    /// the end would be lost. Whatever it keeps goes in front of the next record; so close_notify is said once more, which
    /// nobody minds (RFC 8446 section 6.1), until there is room left behind it.
    private func sendCloseNotifyInKernel() -> Bool {
        while let alert = closeNotify {
            switch alert.withUnsafeBytes({ transport.send($0, recordType: Self.alertType) }) {
            case .bytes:
                guard transport.hasRoom() else { return false }
                closeNotify = nil
            case .wouldBlock, .endOfStream: return false
            case .failed(let errno):
                sendFailure = errno
                closeNotify = nil
                return false
            }
        }
        return true
    }

    private static let alertType: UInt8 = 21

    private func sendOrKeep(_ bytes: UnsafeRawBufferPointer, moreFollows: Bool = false) {
        var rest = bytes
        if sendKept() {
            while !rest.isEmpty {
                let result = transport.send(rest, moreFollows: moreFollows)
                if case .bytes(let count) = result {
                    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                    continue
                }
                if case .failed(let errno) = result { sendFailure = errno }
                break
            }
        }
        if sendFailure == nil { unsent.append(rest) }
    }

    // MARK: - What OpenSSL calls

    func readRecords(into buffer: UnsafeMutableRawBufferPointer) -> RecordIO {
        if !stash.isEmpty { return .bytes(takeStash(into: buffer)) }
        if staged.isEmpty {
            let received = receive()
            guard case .bytes = received else { return received }
        }
        let count = min(buffer.count, staged.count)
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: staging.incoming[staged.lowerBound..<staged.lowerBound + count]))
        staged = (staged.lowerBound + count)..<staged.upperBound
        return .bytes(count)
    }

    /// Fills the staging area, as far as the operation may; what is not bytes is said again when it is asked for again.
    private func receive() -> RecordIO {
        if let receivedEnd { return receivedEnd }
        guard receivesLeft > 0 else { return .wouldBlock }
        receivesLeft -= 1
        let area = UnsafeMutableRawBufferPointer(rebasing: staging.incoming[..<min(receiveLimit, staging.incoming.count)])
        switch transport.receive(into: area) {
        case .bytes(let count):
            staged = 0..<count
            receivedCount += count
            return .bytes(count)
        case .wouldBlock:
            isReceiveBlocked = true
            return .wouldBlock
        case .endOfStream: receivedEnd = .endOfStream
        case .failed(let errno): receivedEnd = .failed(errno: errno)
        }
        return receivedEnd ?? .endOfStream
    }

    func writeRecords(_ bytes: UnsafeRawBufferPointer) -> RecordIO {
        if let sendFailure { return .failed(errno: sendFailure) }
        if madeCount + bytes.count > staging.outgoing.count { sendMade() }
        if bytes.count > staging.outgoing.count {
            sendOrKeep(bytes)
        } else {
            UnsafeMutableRawBufferPointer(rebasing: staging.outgoing[madeCount...]).copyMemory(from: bytes)
            madeCount += bytes.count
        }
        return .bytes(bytes.count)
    }

    // MARK: - Operations

    private func beginReceiving(limit: Int, receives: Int) {
        receiveLimit = limit
        receivesLeft = receives
        isReceiveBlocked = false
    }

    /// Sends the records that were made, and takes what was received and not used out of the staging area: the next
    /// connection is about to use it.
    private func endOperation() {
        receivesLeft = 0
        sendMade()
        stashLeftover()
    }

    private func sendMade(moreFollows: Bool = false) {
        guard madeCount > 0 else { return }
        let made = UnsafeRawBufferPointer(rebasing: staging.outgoing[..<madeCount])
        madeCount = 0
        sendOrKeep(made, moreFollows: moreFollows)
    }

    private func stashLeftover() {
        guard !staged.isEmpty else { return }
        stash.append(UnsafeRawBufferPointer(rebasing: staging.incoming[staged]))
        staged = 0..<0
    }

    private func takeStash(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(buffer.count, stash.count)
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: stash.bytes[..<count]))
        stash.drop(count)
        return count
    }
}
