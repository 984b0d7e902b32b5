/// A worker's buffers for what its connections have to keep while they are blocked.
///
/// A connection that is not blocked has none. What large ones give back is kept for the next, since such blocks come and go with
/// every batch; `trim` lets go of them. Above `limit` the pool is exhausted: it still gives, since bytes that were taken from a
/// peer cannot be left lying, but relays then take no more than the smallest batch at a time.
final class BufferPool {
    /// Bytes in connections' hands.
    private(set) var lentCount = 0
    /// By the power of two that they hold.
    private var idle = [[UnsafeMutableRawBufferPointer]](repeating: [], count: 64)

    static let limit = 64 * 1024 * 1024
    /// Smaller ones are malloc's business.
    private static let smallestPooled = 32 * 1024
    private static let smallest = 512
    /// More of a size do not stay.
    private static let idleOfEachSize = 32

    deinit { trim() }

    var isExhausted: Bool { lentCount >= Self.limit }

    /// Room for at least `count` bytes.
    func take(_ count: Int) -> UnsafeMutableRawBufferPointer {
        let size = max(Self.smallest, count.roundedUpToPowerOfTwo)
        lentCount += size
        return idle[size.trailingZeroBitCount].popLast() ?? .allocate(byteCount: size, alignment: 16)
    }

    func giveBack(_ buffer: UnsafeMutableRawBufferPointer) {
        lentCount -= buffer.count
        let place = buffer.count.trailingZeroBitCount
        guard buffer.count >= Self.smallestPooled, idle[place].count < Self.idleOfEachSize else { return buffer.deallocate() }
        idle[place].append(buffer)
    }

    /// Gives what nobody uses back to malloc.
    func trim() {
        for place in idle.indices {
            for buffer in idle[place] { buffer.deallocate() }
            idle[place] = []
        }
    }
}

extension Int {
    fileprivate var roundedUpToPowerOfTwo: Int { self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount) }
}

/// Bytes that a connection keeps, oldest first, in one buffer of the pool; in none while there are no bytes.
struct KeptBytes: ~Copyable {
    private let pool: BufferPool
    private var buffer: UnsafeMutableRawBufferPointer?
    private var start = 0
    private var end = 0

    init(_ pool: BufferPool) { self.pool = pool }

    deinit { if let buffer { pool.giveBack(buffer) } }

    var count: Int { end - start }
    var isEmpty: Bool { start == end }

    /// Good until the next change.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer ?? .empty)[start..<end]) }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty else { return }
        if let old = buffer, end + bytes.count > old.count {
            let larger = count + bytes.count > old.count ? pool.take(count + bytes.count) : old
            larger.baseAddress!.copyMemory(from: old.baseAddress! + start, byteCount: count)
            if larger.baseAddress != old.baseAddress { pool.giveBack(old) }
            buffer = larger
            (start, end) = (0, count)
        }
        let room = buffer ?? pool.take(bytes.count)
        buffer = room
        UnsafeMutableRawBufferPointer(rebasing: room[end...]).copyMemory(from: bytes)
        end += bytes.count
    }

    /// Takes the first `count` off.
    mutating func drop(_ count: Int) {
        start += count
        if isEmpty { clear() }
    }

    mutating func clear() {
        if let buffer { pool.giveBack(buffer) }
        buffer = nil
        (start, end) = (0, 0)
    }
}

extension UnsafeMutableRawBufferPointer {
    fileprivate static var empty: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(start: nil, count: 0) }
}
