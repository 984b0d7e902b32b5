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
    /// Asked before each: nil, or how long those who wait stay in the kernel's queue.
    private let delay: () -> Duration?
    /// Called with the reason when accepting fails for want of descriptors or memory.
    private let onExhausted: (SystemError) -> Void
    private var watcher: Watcher?
    private var backOff: Duration = .milliseconds(100)
    private var retry: LoopTimer?

    private let acceptsPerTurn: Int

    /// - Parameters:
    ///   - acceptsPerTurn: after so many others get their turn. Where connections come one by one, 1 spares the call that finds
    ///     none.
    ///   - delay: asked before each connection is accepted: nil, or how long those who wait stay in the kernel's queue.
    /// - Throws: when the socket has no address.
    public convenience init(
        socket: consuming Socket, loop: EventLoop, acceptsPerTurn: Int = 16, delay: @escaping () -> Duration? = { nil },
        onExhausted: @escaping (SystemError) -> Void = { _ in }, _ onAccept: @escaping (consuming Socket) -> Void
    ) throws(SystemError) {
        try self.init(
            socket: socket, loop: loop, acceptsPerTurn: acceptsPerTurn, delay: delay,
            acceptOne: { descriptor throws(SystemError) in try Socket.accept(from: descriptor) }, onExhausted: onExhausted,
            onAccept)
    }

    init(
        socket: consuming Socket, loop: EventLoop, acceptsPerTurn: Int = 16, delay: @escaping () -> Duration? = { nil },
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
        self.delay = delay
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
                if let delay = delay() { return standBack(for: delay) }
                guard let descriptor = socket?.descriptor, var accepted = try acceptOne(descriptor) else { break }
                accepted.localPort = address.port
                onAccept(accepted)
            }
            backOff = .milliseconds(100)
        } catch {
            onExhausted(error)
            standBack(for: backOff)
            backOff = min(backOff * 2, .seconds(1))
        }
    }

    /// A level-triggered listener would spin.
    private func standBack(for delay: Duration) {
        watcher?.pause()
        let timer = LoopTimer(loop: loop) { [unowned self] in watcher?.resume() }
        timer.start(after: delay)
        retry = timer
    }
}
