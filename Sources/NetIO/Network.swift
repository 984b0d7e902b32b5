import Glibc
public import Wire

/// What a read or a write on a connection came to.
public enum IOResult: Equatable, Sendable {
    /// So many bytes moved; never 0.
    case bytes(Int)
    /// Nothing now: `onReady` is called when it is worth another try.
    case wouldBlock
    /// The peer has sent FIN and everything before it was read.
    case endOfStream
    /// The connection is broken, with the kernel's reason.
    case failed(errno: Int32)
}

/// One connected stream of bytes: a TCP connection, or its stand-in in a simulated network.
///
/// Confined to the thread of the loop that it was made on.
public protocol Transport: AnyObject {
    var localAddress: SocketAddress { get }
    var peerAddress: SocketAddress { get }
    /// The local address's; cheaper than that where nothing else is wanted.
    var localPort: UInt16 { get }
    /// Called when what was answered with `.wouldBlock` is worth another try, and after `wake()`. Who has not tried yet is not
    /// called, and who has peeked has. Set to nil by `close()` and `reset()`.
    var onReady: (() -> Void)? { get set }
    func receive(into buffer: UnsafeMutableRawBufferPointer) -> IOResult
    /// Like `receive`, and what was looked at stays unread. `onReady` comes again when there is more than before.
    func peek(into buffer: UnsafeMutableRawBufferPointer) -> IOResult
    func send(_ bytes: UnsafeRawBufferPointer) -> IOResult
    /// - Parameter moreFollows: another send, or `finishWriting`, comes at once: the last segment may wait for it.
    func send(_ bytes: UnsafeRawBufferPointer, moreFollows: Bool) -> IOResult
    /// Moves up to `limit` bytes of the connection into an empty pipe, within the kernel; nil where that cannot be done.
    func receive(into pipe: KernelPipe, limit: Int) -> IOResult?
    /// Moves what a pipe holds into the connection, within the kernel; nil where that cannot be done.
    func send(from pipe: KernelPipe) -> IOResult?
    /// Has the kernel make TLS records of what is sent from here on, by `send` and from pipes.
    /// - Parameter keys: what `TLSConnection.moveSending` hands out.
    /// - Returns: false where it cannot, and then nothing has changed.
    func encrypt(with keys: UnsafeRawBufferPointer) -> Bool
    /// Sends a whole TLS record of another type than application data, behind everything before it, where the kernel encrypts.
    func send(_ bytes: UnsafeRawBufferPointer, recordType: UInt8) -> IOResult
    /// Whether the connection would take more at this moment; where not, `onReady` comes when it does.
    func hasRoom() -> Bool
    /// From here on `onReady` says that there is something to read only once so many bytes have come, or the peer has ended, or
    /// the kernel takes no more; 1, as at first, is each byte. What has come can be received all the same.
    func gather(_ count: Int)
    /// Where the last `receive` brought less than it had room for, the next one blocks until `onReady`; nobody knows of an end
    /// that was there by then.
    func awaitMore()
    /// The next `receive` asks the kernel, though nothing was said since the last one blocked.
    func askAgain()
    /// Sends FIN; reading goes on.
    func finishWriting()
    /// Has `onReady` called in a later turn of the loop, after others had theirs.
    func wake()
    /// Ends the connection in order.
    func close()
    /// Ends the connection with RST: the peer must not take what it has for the whole.
    func reset()
}

extension Transport {
    public var localPort: UInt16 { localAddress.port }
    public func send(_ bytes: UnsafeRawBufferPointer, moreFollows: Bool) -> IOResult { send(bytes) }
    public func receive(into pipe: KernelPipe, limit: Int) -> IOResult? { nil }
    public func send(from pipe: KernelPipe) -> IOResult? { nil }
    public func encrypt(with keys: UnsafeRawBufferPointer) -> Bool { false }
    public func send(_ bytes: UnsafeRawBufferPointer, recordType: UInt8) -> IOResult {
        preconditionFailure("nothing encrypts here")
    }
    public func hasRoom() -> Bool { true }
    public func gather(_ count: Int) {}
    public func awaitMore() {}
    public func askAgain() {}
}

/// One timer; restarting replaces the earlier deadline.
public protocol Timer: AnyObject {
    func start(after delay: Duration)
    func cancel()
}

/// The time and what is to happen later.
public protocol Scheduler: AnyObject {
    /// Time since some fixed moment; never goes back.
    var now: Duration { get }
    func makeTimer(_ onFire: @escaping () -> Void) -> any Timer
    /// Runs `body` in a later turn of the loop, outside of every callback that is running now.
    func later(_ body: @escaping () -> Void)
    /// Runs `body` once others have been served: work that moves much, and comes again soon.
    func afterOthers(_ body: @escaping () -> Void)
}

extension Scheduler {
    public func afterOthers(_ body: @escaping () -> Void) { later(body) }
}

/// What an attempt to connect came to.
public enum ConnectResult {
    case connected(any Transport)
    case failed(errno: Int32)
    case timedOut
}

/// A running attempt; dropping it does not cancel it.
public protocol ConnectAttempt: AnyObject {
    /// Ends the attempt without calling back.
    func cancel()
}

/// Where connections come from: the kernel's sockets, or a simulated network.
public protocol Network: AnyObject {
    /// - Parameters:
    ///   - source: address, and port unless 0, that the connection is to come from.
    ///   - limit: zero means as long as the kernel tries.
    func connect(
        to address: SocketAddress, from source: SocketAddress?, within limit: Duration,
        _ completion: @escaping (ConnectResult) -> Void
    ) -> any ConnectAttempt
    /// - Parameter onAccept: is given connections until the acceptor is closed.
    func listen(on address: SocketAddress, _ onAccept: @escaping (any Transport) -> Void) throws(SystemError) -> any Acceptor
    /// All addresses of a name, or of a numeric address; empty with a reason when there are none.
    func resolve(_ host: String, _ completion: @escaping (_ addresses: [IPAddress], _ problem: String?) -> Void)
}

/// A listening socket of one session.
public protocol Acceptor: AnyObject {
    var address: SocketAddress { get }
    func close()
}

/// Numbers nobody can guess.
public protocol RandomSource: AnyObject {
    func number(below bound: Int) -> Int
}

/// The kernel's random numbers.
public final class SystemRandom: RandomSource {
    private var stock = RandomStock()

    public init() {}
    public func number(below bound: Int) -> Int { Int.random(in: 0..<bound, using: &stock) }
}

/// Fetches them several at a time; each is used once, and not kept.
private struct RandomStock: RandomNumberGenerator {
    private var numbers: [UInt64] = []

    /// 256 bytes, which the kernel gives whole or not at all.
    private static let count = 32

    mutating func next() -> UInt64 {
        if let number = numbers.popLast() { return number }
        numbers = [UInt64](repeating: 0, count: Self.count)
        let filled = numbers.withUnsafeMutableBytes { getentropy($0.baseAddress!, $0.count) }
        precondition(filled == 0, "the kernel has random numbers")
        return numbers.removeLast()
    }
}
