import Glibc
public import Wire

/// A listening socket that hands out what it accepts, and stands back when descriptors run out.
public final class Listener: Acceptor {
    public let address: SocketAddress
    /// Nil once closed.
    private var socket: Socket?
    private let loop: EventLoop
    /// Accepts one connection from a descriptor; nil when none waits.
    private let acceptOne: (Int32) throws(SystemError) -> Socket?
    private let onAccept: (consuming Socket) -> Void
    /// Called with the reason when accepting fails for want of descriptors or memory.
    private let onExhausted: (SystemError) -> Void
    private var watcher: Watcher?
    private var backOff: Duration = .milliseconds(100)
    private var retry: LoopTimer?

    private let acceptsPerTurn: Int

    /// - Parameter acceptsPerTurn: after so many others get their turn. Where connections come one by one, 1 spares the call
    ///   that finds none.
    /// - Throws: when the socket has no address.
    public convenience init(
        socket: consuming Socket, loop: EventLoop, acceptsPerTurn: Int = 16,
        onExhausted: @escaping (SystemError) -> Void = { _ in }, _ onAccept: @escaping (consuming Socket) -> Void
    ) throws(SystemError) {
        try self.init(
            socket: socket, loop: loop, acceptsPerTurn: acceptsPerTurn,
            acceptOne: { descriptor throws(SystemError) in try Socket.accept(from: descriptor) }, onExhausted: onExhausted,
            onAccept)
    }

    init(
        socket: consuming Socket, loop: EventLoop, acceptsPerTurn: Int = 16,
        acceptOne: @escaping (Int32) throws(SystemError) -> Socket?, onExhausted: @escaping (SystemError) -> Void,
        _ onAccept: @escaping (consuming Socket) -> Void
    ) throws(SystemError) {
        guard let address = socket.localAddress() else { throw SystemError("getsockname") }
        self.address = address
        self.loop = loop
        self.acceptsPerTurn = acceptsPerTurn
        self.acceptOne = acceptOne
        self.onAccept = onAccept
        self.onExhausted = onExhausted
        let descriptor = socket.descriptor
        self.socket = consume socket
        watcher = Watcher(descriptor: descriptor, loop: loop, trigger: .level, [.read]) { [unowned self] _ in accept() }
    }

    /// Clients are refused from here on.
    public func close() {
        watcher = nil
        retry = nil
        socket = nil
    }

    private func accept() {
        do throws(SystemError) {
            for _ in 0..<acceptsPerTurn {
                guard let descriptor = socket?.descriptor, var accepted = try acceptOne(descriptor) else { break }
                accepted.localPort = address.port
                onAccept(accepted)
            }
            backOff = .milliseconds(100)
        } catch {
            onExhausted(error)
            // A level-triggered listener without descriptors would spin.
            watcher?.pause()
            let timer = LoopTimer(loop: loop) { [unowned self] in watcher?.resume() }
            timer.start(after: backOff)
            retry = timer
            backOff = min(backOff * 2, .seconds(1))
        }
    }
}
