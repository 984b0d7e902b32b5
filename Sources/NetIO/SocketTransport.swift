import CLinux
import Glibc
public import Wire

/// A TCP connection on a loop.
///
/// Readiness is remembered and not toggled: one edge-triggered event, added once, sets the flags; only EAGAIN clears them. So
/// there is no epoll_ctl after the first, and no system call while a direction is known to be blocked.
public final class SocketTransport: Transport {
    public let localAddress: SocketAddress
    public let peerAddress: SocketAddress
    public var onReady: (() -> Void)?

    private var descriptor: Int32
    private var watcher: Watcher?
    private var isReadable = true
    private var isWritable = true
    private var hasFinished = false

    /// Takes over a connected socket.
    /// - Throws: when the connection is gone already.
    public init(_ socket: consuming Socket, loop: EventLoop) throws(SystemError) {
        guard let local = socket.localAddress(), let peer = socket.peerAddress() else { throw SystemError("getpeername") }
        localAddress = local
        peerAddress = peer
        socket.configureConnection()
        descriptor = socket.take()
        watcher = Watcher(descriptor: descriptor, loop: loop, trigger: .edge, [.read, .write]) { [unowned self] readiness in
            if readiness.contains(.read) { isReadable = true }
            if readiness.contains(.write) { isWritable = true }
            // The callback may drop the last reference to us.
            withExtendedLifetime(self) { self.onReady?() }
        }
    }

    deinit { close() }

    public func receive(into buffer: UnsafeMutableRawBufferPointer) -> IOResult { receive(into: buffer, flags: 0) }

    public func peek(into buffer: UnsafeMutableRawBufferPointer) -> IOResult { receive(into: buffer, flags: Int32(MSG_PEEK)) }

    private func receive(into buffer: UnsafeMutableRawBufferPointer, flags: Int32) -> IOResult {
        guard descriptor >= 0 else { return .failed(errno: EBADF) }
        guard isReadable else { return .wouldBlock }
        while true {
            let count = recv(descriptor, buffer.baseAddress, buffer.count, flags)
            if count > 0 { return .bytes(count) }
            if count == 0 { return .endOfStream }
            switch errno {
            case EINTR: continue
            case EAGAIN:
                isReadable = false
                return .wouldBlock
            case let code: return .failed(errno: code)
            }
        }
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
            case EAGAIN:
                isWritable = false
                return .wouldBlock
            case let code: return .failed(errno: code)
            }
        }
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
            case EAGAIN:
                isReadable = false
                return .wouldBlock
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
            case EAGAIN:
                isWritable = false
                return .wouldBlock
            case EINVAL: return nil
            case let code: return .failed(errno: code)
            }
        }
    }

    public func finishWriting() {
        guard descriptor >= 0, !hasFinished else { return }
        hasFinished = true
        shutdown(descriptor, Int32(SHUT_WR))
    }

    public func wake() { watcher?.wake() }

    public func close() {
        guard descriptor >= 0 else { return }
        onReady = nil
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
