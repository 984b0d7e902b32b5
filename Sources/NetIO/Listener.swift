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

    /// Others get their turn after this many.
    private static let acceptsPerTurn = 16

    /// - Throws: when the socket has no address.
    public convenience init(
        socket: consuming Socket, loop: EventLoop, onExhausted: @escaping (SystemError) -> Void = { _ in },
        _ onAccept: @escaping (consuming Socket) -> Void
    ) throws(SystemError) {
        try self.init(
            socket: socket, loop: loop, acceptOne: { descriptor throws(SystemError) in try Socket.accept(from: descriptor) },
            onExhausted: onExhausted, onAccept)
    }

    init(
        socket: consuming Socket, loop: EventLoop, acceptOne: @escaping (Int32) throws(SystemError) -> Socket?,
        onExhausted: @escaping (SystemError) -> Void, _ onAccept: @escaping (consuming Socket) -> Void
    ) throws(SystemError) {
        guard let address = socket.localAddress() else { throw SystemError("getsockname") }
        self.address = address
        self.loop = loop
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
            for _ in 0..<Self.acceptsPerTurn {
                guard let descriptor = socket?.descriptor, let accepted = try acceptOne(descriptor) else { break }
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
