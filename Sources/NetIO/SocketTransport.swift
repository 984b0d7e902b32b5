import CLinux
import Glibc
public import Wire

/// A TCP connection on a loop.
///
/// Readiness is remembered and not toggled: one edge-triggered event sets the flags; only EAGAIN clears them. A direction is watched
/// from the first time that it blocks, since before that an event would only tell what is known: many a data connection
/// comes, is emptied and goes without one. So there is no epoll_ctl in a long transfer, and no system call while a direction
/// is known to be blocked.
public final class SocketTransport: Transport {
    /// Asked of the kernel when it is wanted first: before the connection is closed.
    public private(set) lazy var localAddress = Socket.localAddress(of: descriptor) ?? SocketAddress(ip: .anyV4, port: 0)
    public var localPort: UInt16 { knownPort ?? localAddress.port }
    public let peerAddress: SocketAddress
    public var onReady: (() -> Void)?

    private let loop: EventLoop
    private let knownPort: UInt16?
    private var descriptor: Int32
    /// Nil until a direction has blocked.
    private var watcher: Watcher?
    private var watchesWriting: Bool
    private var isConfigured: Bool
    private var isReadable = true
    private var isWritable = true
    /// The last receive brought all that had come.
    private var isDrained = false
    private var hasFinished = false
    private var isAwake = false

    /// Takes over a socket that was accepted: from its listener it has what `configureConnection` sets.
    /// - Throws: when the connection is gone already.
    public convenience init(_ socket: consuming Socket, loop: EventLoop) throws(SystemError) {
        guard let peer = socket.peerAddress() else { throw SystemError("getpeername") }
        self.init(socket, peer: peer, loop: loop, isConfigured: true)
    }

    /// Takes over a connected socket.
    /// - Parameters:
    ///   - watcher: where its edges of both directions are watched already.
    ///   - isConfigured: it has what `configureConnection` sets; else it has that once it blocks.
    init(
        _ socket: consuming Socket, peer: SocketAddress, loop: EventLoop, watcher: Watcher? = nil, isConfigured: Bool
    ) {
        peerAddress = peer
        self.loop = loop
        self.isConfigured = isConfigured
        knownPort = socket.localPort
        descriptor = socket.take()
        self.watcher = watcher
        watchesWriting = watcher != nil
        watcher?.onReady = { [unowned self] in ready($0) }
    }

    private func ready(_ readiness: Watcher.Readiness) {
        if readiness.contains(.read) { isReadable = true }
        if readiness.contains(.write) { isWritable = true }
        // The callback may drop the last reference to us.
        withExtendedLifetime(self) { onReady?() }
    }

    deinit { close() }

    public func receive(into buffer: UnsafeMutableRawBufferPointer) -> IOResult { receive(into: buffer, flags: 0) }

    public func peek(into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
        let result = receive(into: buffer, flags: Int32(MSG_PEEK))
        // Whatever it brought, more is waited for.
        if case .bytes = result { watch([.read]) }
        return result
    }

    private func receive(into buffer: UnsafeMutableRawBufferPointer, flags: Int32) -> IOResult {
        guard descriptor >= 0 else { return .failed(errno: EBADF) }
        guard isReadable else { return .wouldBlock }
        while true {
            let count = recv(descriptor, buffer.baseAddress, buffer.count, flags)
            if count > 0 {
                isDrained = count < buffer.count
                return .bytes(count)
            }
            if count == 0 { return .endOfStream }
            switch errno {
            case EINTR: continue
            case EAGAIN: return waitToRead()
            case let code: return .failed(errno: code)
            }
        }
    }

    /// What has come since EAGAIN shows as an edge.
    private func waitToRead() -> IOResult {
        isReadable = false
        configure()
        watch([.read])
        return .wouldBlock
    }

    /// Who never waits neither outlives its peer nor has a segment held back.
    private func configure() {
        guard !isConfigured else { return }
        isConfigured = true
        Socket.configureConnection(descriptor)
    }

    private func watch(_ interest: Watcher.Readiness) {
        guard watcher == nil else { return }
        watcher = Watcher(descriptor: descriptor, loop: loop, trigger: .edge, interest) { [unowned self] in ready($0) }
    }

    public func send(_ bytes: UnsafeRawBufferPointer) -> IOResult { send(bytes, moreFollows: false) }

    public func send(_ bytes: UnsafeRawBufferPointer, moreFollows: Bool) -> IOResult {
        guard descriptor >= 0 else { return .failed(errno: EBADF) }
        guard isWritable else { return .wouldBlock }
        while true {
            let count = Glibc.send(
                descriptor, bytes.baseAddress, bytes.count, Int32(moreFollows ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL))
            if count >= 0 { return .bytes(count) }
            switch errno {
            case EINTR: continue
            case EAGAIN: return waitToWrite()
            case let code: return .failed(errno: code)
            }
        }
    }

    private func waitToWrite() -> IOResult {
        isWritable = false
        configure()
        if !watchesWriting {
            watchesWriting = true
            if let watcher { watcher.widen() } else { watch([.read, .write]) }
        }
        return .wouldBlock
    }

    public func receive(into pipe: KernelPipe, limit: Int) -> IOResult? {
        precondition(pipe.heldCount == 0, "with an empty pipe EAGAIN can only mean the socket")
        guard descriptor >= 0 else { return .failed(errno: EBADF) }
        guard isReadable else { return .wouldBlock }
        while true {
            let count = ftpsgate_splice(descriptor, pipe.writeEnd, UInt(limit))
            if count > 0 {
                pipe.heldCount = count
                return .bytes(count)
            }
            if count == 0 { return .endOfStream }
            switch errno {
            case EINTR: continue
            case EAGAIN: return waitToRead()
            case EINVAL: return nil
            case let code: return .failed(errno: code)
            }
        }
    }

    public func send(from pipe: KernelPipe) -> IOResult? {
        guard descriptor >= 0 else { return .failed(errno: EBADF) }
        guard isWritable else { return .wouldBlock }
        while true {
            let count = ftpsgate_splice(pipe.readEnd, descriptor, UInt(pipe.heldCount))
            if count > 0 {
                pipe.heldCount -= count
                return .bytes(count)
            }
            switch errno {
            case EINTR: continue
            case EAGAIN: return waitToWrite()
            case EINVAL: return nil
            case let code: return .failed(errno: code)
            }
        }
    }

    public func encrypt(with keys: UnsafeRawBufferPointer) -> Bool {
        descriptor >= 0 && ftpsgate_encrypt_in_kernel(descriptor, keys.baseAddress, UInt32(keys.count)) == 0
    }

    public func send(_ bytes: UnsafeRawBufferPointer, recordType: UInt8) -> IOResult {
        guard descriptor >= 0 else { return .failed(errno: EBADF) }
        guard isWritable else { return .wouldBlock }
        while true {
            let count = ftpsgate_send_record(descriptor, recordType, bytes.baseAddress, UInt(bytes.count))
            if count >= 0 { return .bytes(count) }
            switch errno {
            case EINTR: continue
            case EAGAIN: return waitToWrite()
            case let code: return .failed(errno: code)
            }
        }
    }

    public func hasRoom() -> Bool {
        guard descriptor >= 0 else { return true }
        guard isWritable else { return false }
        if ftpsgate_has_room(descriptor) != 0 { return true }
        _ = waitToWrite()
        return false
    }

    /// What has come by the time that the option is set shows as an edge as well.
    public func gather(_ count: Int) {
        guard descriptor >= 0 else { return }
        var count = Int32(clamping: count)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVLOWAT, &count, socklen_t(MemoryLayout<Int32>.size))
    }

    public func awaitMore() {
        guard descriptor >= 0, isDrained else { return }
        _ = waitToRead()
    }

    public func askAgain() { isReadable = true }

    public func finishWriting() {
        guard descriptor >= 0, !hasFinished else { return }
        hasFinished = true
        shutdown(descriptor, Int32(SHUT_WR))
    }

    public func wake() {
        guard !isAwake else { return }
        isAwake = true
        loop.later { [weak self] in
            guard let self else { return }
            isAwake = false
            onReady?()
        }
    }

    public func close() {
        guard descriptor >= 0 else { return }
        onReady = nil
        watcher?.pause()
        watcher = nil
        Glibc.close(descriptor)
        descriptor = -1
    }

    /// Gives the connection away, with whatever is unread: whoever takes it goes on with it on a loop of its own.
    /// - Returns: nil where it is closed.
    public func detach() -> Socket? {
        guard descriptor >= 0 else { return nil }
        defer { descriptor = -1 }
        onReady = nil
        watcher = nil
        return Socket(owning: descriptor)
    }

    public func reset() {
        guard descriptor >= 0 else { return }
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close()
    }
}
