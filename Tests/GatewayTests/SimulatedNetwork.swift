import Glibc
import NetIO
import Wire

/// How unkind the network is. Every choice is the seed's.
struct Weather {
    /// One read or write in so many finds nothing, though there is something; 0 is never.
    var spuriousBlockEvery = 0
    /// Reads and writes move at most this much; a random part of it where `isRagged`.
    var largestMove = Int.max
    var isRagged = false
    /// What a socket holds in each direction before its writer blocks.
    var capacity = 64 * 1024
    var latency: Duration = .microseconds(200)

    static let fair = Weather()
    static let foul = Weather(spuriousBlockEvery: 5, largestMove: 20_000, isRagged: true, capacity: 24 * 1024)
}

/// TCP connections without a kernel: bytes with latency and bounded buffers, FIN, RST, refusals and silence.
final class SimulatedNetwork {
    let world: SimulatedWorld
    var weather: Weather
    private var listeners: [SocketAddress: SimulatedAcceptor] = [:]
    private var nextPort: UInt16 = 40_000
    /// Nobody answers there, not even with a refusal.
    var unreachable: Set<IPAddress> = []
    var names: [String: [IPAddress]] = [:]

    init(_ world: SimulatedWorld, weather: Weather = .fair) {
        self.world = world
        self.weather = weather
    }

    /// The network as a machine with this address sees it.
    func host(_ ip: IPAddress) -> SimulatedHost { SimulatedHost(self, ip) }

    fileprivate func freePort() -> UInt16 {
        nextPort += 1
        return nextPort
    }

    fileprivate func listen(_ address: SocketAddress, _ onAccept: @escaping (any Transport) -> Void) throws(SystemError)
        -> SimulatedAcceptor
    {
        guard listeners[address] == nil else { throw SystemError("cannot listen on \(address)", code: EADDRINUSE) }
        let acceptor = SimulatedAcceptor(self, address, onAccept)
        listeners[address] = acceptor
        return acceptor
    }

    fileprivate func close(_ acceptor: SimulatedAcceptor) { listeners[acceptor.address] = nil }

    fileprivate func listener(at address: SocketAddress) -> SimulatedAcceptor? {
        listeners[address]
            ?? listeners[SocketAddress(ip: address.ip.family == .v4 ? .anyV4 : .anyV6, port: address.port)]
    }

    /// A connection that is up at once.
    func pair(_ first: SocketAddress, _ second: SocketAddress) -> (SimulatedTransport, SimulatedTransport) {
        let one = SimulatedEnd(self, local: first, peer: second)
        let other = SimulatedEnd(self, local: second, peer: first)
        one.other = other
        other.other = one
        return (SimulatedTransport(one), SimulatedTransport(other))
    }
}

final class SimulatedHost: Network {
    let network: SimulatedNetwork
    let ip: IPAddress

    init(_ network: SimulatedNetwork, _ ip: IPAddress) {
        self.network = network
        self.ip = ip
    }

    private final class Attempt: ConnectAttempt {
        var isCancelled = false
        func cancel() { isCancelled = true }
    }

    func connect(
        to address: SocketAddress, from source: SocketAddress?, within limit: Duration,
        _ completion: @escaping (ConnectResult) -> Void
    ) -> any ConnectAttempt {
        let attempt = Attempt()
        let world = network.world
        func settle(after delay: Duration, _ result: @escaping () -> ConnectResult) {
            world.after(delay) { if !attempt.isCancelled { completion(result()) } }
        }
        if network.unreachable.contains(address.ip) {
            if limit > .zero { settle(after: limit) { .timedOut } }
            return attempt
        }
        let port = source.map(\.port) ?? 0
        let local = SocketAddress(ip: source?.ip ?? ip, port: port == 0 ? network.freePort() : port)
        settle(after: network.weather.latency * 2) { [network] in
            guard let listener = network.listener(at: address) else { return .failed(errno: ECONNREFUSED) }
            let (ours, theirs) = network.pair(local, address)
            world.later { listener.accept(theirs) }
            return .connected(ours)
        }
        return attempt
    }

    func listen(
        on address: SocketAddress, _ onAccept: @escaping (any Transport) -> Void
    ) throws(SystemError) -> any Acceptor {
        var address = address
        if address.port == 0 { address.port = network.freePort() }
        return try network.listen(address, onAccept)
    }

    func resolve(_ host: String, _ completion: @escaping ([IPAddress], String?) -> Void) {
        if let numeric = IPAddress(host) { return completion([numeric], nil) }
        network.world.later { [network] in
            let addresses = network.names[host] ?? []
            completion(addresses, addresses.isEmpty ? "unknown name" : nil)
        }
    }

    /// Connects and waits until it is so.
    func connected(to address: SocketAddress) -> SimulatedTransport? {
        var result: ConnectResult?
        _ = connect(to: address, from: nil, within: .seconds(60)) { result = $0 }
        _ = network.world.run(until: { result != nil }, within: .seconds(61))
        guard case .connected(let transport) = result else { return nil }
        return transport as? SimulatedTransport
    }
}

final class SimulatedAcceptor: Acceptor {
    let address: SocketAddress
    private let network: SimulatedNetwork
    private let onAccept: (any Transport) -> Void
    private var isClosed = false

    init(_ network: SimulatedNetwork, _ address: SocketAddress, _ onAccept: @escaping (any Transport) -> Void) {
        self.network = network
        self.address = address
        self.onAccept = onAccept
    }

    func accept(_ transport: SimulatedTransport) { isClosed ? transport.reset() : onAccept(transport) }

    func close() {
        isClosed = true
        network.close(self)
    }
}

/// One end of a simulated connection, as its owner holds it: letting go of it closes it, like a descriptor's owner does. What
/// has blocked is not tried again before it is ready, as with `SocketTransport`.
final class SimulatedTransport: Transport {
    let end: SimulatedEnd
    var onReady: (() -> Void)?
    /// Who has not tried yet is not called.
    private var isWatched = false
    private var isAwake = false
    private var isReadable = true
    private var isWritable = true
    private var isDrained = false

    fileprivate init(_ end: SimulatedEnd) {
        self.end = end
        end.onReady = { [weak self] readiness in
            guard let self, isWatched else { return }
            if readiness.contains(.read) { isReadable = true }
            if readiness.contains(.write) { isWritable = true }
            onReady?()
        }
    }

    var localAddress: SocketAddress { end.localAddress }
    var peerAddress: SocketAddress { end.peerAddress }

    func receive(into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
        guard isReadable else { return .wouldBlock }
        let result = end.receive(into: buffer)
        if case .bytes(let count) = result { isDrained = count < buffer.count }
        if result == .wouldBlock { waitToRead() }
        return result
    }

    func peek(into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
        isWatched = true
        return end.peek(into: buffer)
    }

    func send(_ bytes: UnsafeRawBufferPointer) -> IOResult {
        guard isWritable else { return .wouldBlock }
        let result = end.send(bytes)
        if result == .wouldBlock {
            isWritable = false
            isWatched = true
        }
        return result
    }

    func finishWriting() { end.finishWriting() }
    func gather(_ count: Int) { end.gather(count) }
    func awaitMore() { if isDrained { waitToRead() } }
    func askAgain() { isReadable = true }

    private func waitToRead() {
        isReadable = false
        guard !isWatched else { return }
        isWatched = true
        end.notifyIfReadable()
    }

    func wake() {
        guard !isAwake else { return }
        isAwake = true
        end.wake { [weak self] in
            self?.isAwake = false
            self?.onReady?()
        }
    }

    func close() {
        onReady = nil
        end.close()
    }

    func reset() {
        onReady = nil
        end.reset()
    }

    deinit { end.close() }
}

/// What the kernel keeps of one end, with Linux's manners: what was received before a RST is still read; closing with unread
/// bytes resets, and so do bytes that come to a closed end.
final class SimulatedEnd {
    let localAddress: SocketAddress
    let peerAddress: SocketAddress
    fileprivate var onReady: ((Watcher.Readiness) -> Void)?
    fileprivate var other: SimulatedEnd?
    private let network: SimulatedNetwork

    private var received: [UInt8] = []
    private var receivedStart = 0
    private var hasReceivedFIN = false
    /// So much has to have come before it is told.
    private var threshold = 1
    private var failure: Int32?
    /// Written, and not yet with the peer.
    private var outgoing: [UInt8] = []
    private var hasFinished = false
    private(set) var isClosed = false
    private var isMoving = false
    private var isSendBlocked = false
    private var isNotifying = false
    /// Other systems than Linux throw away what was received and not read when a RST comes.
    var losesUnreadOnReset = false
    private(set) var wasReset = false

    /// The other end was closed by its owner, in whichever way.
    var isPeerGone: Bool { other?.isClosed ?? true }

    fileprivate init(_ network: SimulatedNetwork, local: SocketAddress, peer: SocketAddress) {
        self.network = network
        localAddress = local
        peerAddress = peer
    }

    /// Ends hold each other; thousands of networks in one process have to be taken apart.
    func separate() {
        other?.other = nil
        other = nil
    }

    private var world: SimulatedWorld { network.world }
    private var weather: Weather { network.weather }
    private var unreadCount: Int { received.count - receivedStart }

    func receive(into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
        if isClosed { return .failed(errno: EBADF) }
        guard unreadCount > 0 else {
            if let failure { return .failed(errno: failure) }
            return hasReceivedFIN ? .endOfStream : .wouldBlock
        }
        if world.random.oneIn(weather.spuriousBlockEvery) {
            notify(after: weather.latency, [.read])
            return .wouldBlock
        }
        let count = move(min(buffer.count, unreadCount))
        received.withUnsafeBytes {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[receivedStart..<receivedStart + count]))
        }
        receivedStart += count
        if receivedStart == received.count {
            received = []
            receivedStart = 0
        }
        other?.startMoving()
        return .bytes(count)
    }

    func peek(into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
        if isClosed { return .failed(errno: EBADF) }
        guard unreadCount > 0 else {
            if let failure { return .failed(errno: failure) }
            return hasReceivedFIN ? .endOfStream : .wouldBlock
        }
        let count = min(buffer.count, unreadCount)
        received.withUnsafeBytes {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[receivedStart..<receivedStart + count]))
        }
        return .bytes(count)
    }

    func send(_ bytes: UnsafeRawBufferPointer) -> IOResult {
        if isClosed { return .failed(errno: EBADF) }
        if let failure { return .failed(errno: failure) }
        if hasFinished { return .failed(errno: EPIPE) }
        let space = weather.capacity - outgoing.count
        if space <= 0 || world.random.oneIn(weather.spuriousBlockEvery) {
            isSendBlocked = true
            if space > 0 { notify(after: weather.latency) }
            return .wouldBlock
        }
        let count = move(min(space, bytes.count))
        outgoing.append(contentsOf: bytes[..<count])
        startMoving()
        return .bytes(count)
    }

    /// Newer kernels tell at once that so much has come already; older ones did not, and nobody is to need it.
    func gather(_ count: Int) { threshold = count }

    fileprivate func notifyIfReadable() {
        if isReadable { notify(after: .zero) }
    }

    private var isReadable: Bool { hasGathered || hasReceivedFIN || failure != nil }
    private var isWritable: Bool { failure != nil || outgoing.count < weather.capacity }

    /// It is told as well when there is no room for more.
    private var hasGathered: Bool { unreadCount >= min(threshold, weather.capacity) }

    private func move(_ most: Int) -> Int {
        let most = min(most, weather.largestMove)
        return weather.isRagged ? 1 + world.random.number(below: most) : most
    }

    func finishWriting() {
        guard !isClosed, !hasFinished else { return }
        hasFinished = true
        startMoving()
    }

    func close() {
        guard !isClosed else { return }
        if unreadCount > 0 { return reset() }
        isClosed = true
        if hasFinished { return partIfOver() }
        hasFinished = true
        startMoving()
    }

    func reset() {
        guard !isClosed else { return }
        isClosed = true
        wasReset = true
        outgoing = []
        world.after(weather.latency) { [self] in
            other?.receiveReset()
            partIfOver()
        }
    }

    private func receiveReset() {
        guard !isClosed, failure == nil else { return partIfOver() }
        failure = ECONNRESET
        outgoing = []
        if losesUnreadOnReset {
            received = []
            receivedStart = 0
        }
        notify(after: .zero)
    }

    /// Both have let go, and nothing is on its way: the two ends forget each other.
    private func partIfOver() {
        guard isClosed, let other, other.isClosed, outgoing.isEmpty, other.outgoing.isEmpty else { return }
        other.other = nil
        self.other = nil
    }

    /// What was written goes on its way, as much at a time as the peer has room for.
    private func startMoving() {
        guard !isMoving, failure == nil, !wasReset else { return }
        isMoving = true
        world.after(weather.latency) { [self] in arrive() }
    }

    private func arrive() {
        isMoving = false
        guard let other, failure == nil, !wasReset else { return }
        if other.isClosed {
            // Nobody is there any more.
            if !outgoing.isEmpty {
                outgoing = []
                receiveReset()
            }
            return partIfOver()
        }
        let count = min(weather.capacity - other.unreadCount, outgoing.count)
        if count > 0 {
            other.received.append(contentsOf: outgoing[..<count])
            outgoing.removeFirst(count)
        }
        if outgoing.isEmpty, hasFinished, !other.hasReceivedFIN {
            other.hasReceivedFIN = true
            other.notify(after: .zero)
        } else if count > 0, other.hasGathered {
            other.notify(after: .zero)
        }
        if isSendBlocked, outgoing.count < weather.capacity {
            isSendBlocked = false
            notify(after: .zero)
        }
        if !outgoing.isEmpty, count > 0 { startMoving() }
    }

    fileprivate func wake(_ body: @escaping () -> Void) { world.after(.zero, body) }

    /// - Parameter anyway: said to be ready though it may not be.
    private func notify(after delay: Duration, _ anyway: Watcher.Readiness = []) {
        guard !isNotifying || delay > .zero else { return }
        if delay == .zero { isNotifying = true }
        world.after(delay) { [weak self] in
            guard let self else { return }
            if delay == .zero { isNotifying = false }
            var readiness = anyway
            if isReadable { readiness.insert(.read) }
            if isWritable { readiness.insert(.write) }
            onReady?(readiness)
        }
    }
}
