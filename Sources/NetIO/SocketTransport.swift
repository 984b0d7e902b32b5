import CLinux
import Glibc
public import Wire

/// A TCP connection on a loop.
///
/// Readiness is remembered and not toggled: one edge-triggered event sets the flags; only EAGAIN clears them. Writability is
/// watched from the first time that a send is not taken, since before that it would only tell what is known. So there is no
/// epoll_ctl in a long transfer, and no system call while a direction is known to be blocked.
public final class SocketTransport: Transport {
    public let localAddress: SocketAddress
    public let peerAddress: SocketAddress
    public var onReady: (() -> Void)?

    private var descriptor: Int32
    private var watcher: Watcher?
    private var watchesWriting: Bool
    private var isReadable = true
    private var isWritable = true
    private var hasFinished = false

    /// Takes over a socket that was accepted: from its listener it has what `configureConnection` sets.
    /// - Throws: when the connection is gone already.
    public convenience init(_ socket: consuming Socket, loop: EventLoop) throws(SystemError) {
        guard let peer = socket.peerAddress() else { throw SystemError("getpeername") }
        let watcher = Watcher(descriptor: socket.descriptor, loop: loop, trigger: .edge, [.read]) { _ in }
        try self.init(socket, peer: peer, watcher: watcher, watchesWriting: false)
    }

    /// Takes over a connected and configured socket, and what watches its edges.
    init(
        _ socket: consuming Socket, peer: SocketAddress, watcher: Watcher, watchesWriting: Bool
    ) throws(SystemError) {
        guard let local = socket.localAddress() else { throw SystemError("getsockname") }
        localAddress = local
        peerAddress = peer
        descriptor = socket.take()
        self.watcher = watcher
        self.watchesWriting = watchesWriting
        watcher.onReady = { [unowned self] readiness in
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
            case EAGAIN: return waitToWrite()
            case let code: return .failed(errno: code)
            }
        }
    }

    private func waitToWrite() -> IOResult {
        isWritable = false
        if !watchesWriting {
            watchesWriting = true
            watcher?.widen()
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

    public func finishWriting() {
        guard descriptor >= 0, !hasFinished else { return }
        hasFinished = true
        shutdown(descriptor, Int32(SHUT_WR))
    }

    public func wake() { watcher?.wake() }

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
