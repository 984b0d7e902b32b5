import NetIO

/// Numbers that a seed decides (splitmix64): a failing test runs again exactly as it failed.
final class SeededRandom: RandomSource, RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 1 }

    func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    func number(below bound: Int) -> Int { Int(next() % UInt64(bound)) }

    /// True once in `n` times.
    func oneIn(_ n: Int) -> Bool { n > 0 && number(below: n) == 0 }

    func bytes(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        for index in stride(from: 0, to: count, by: 8) {
            var word = next()
            for place in index..<min(index + 8, count) {
                bytes[place] = UInt8(truncatingIfNeeded: word)
                word >>= 8
            }
        }
        return bytes
    }
}

/// Time and order of everything that happens in a simulated network: one thread, no waiting, and an order that the seed
/// decides. An hour passes in as long as its events take.
final class SimulatedWorld: Scheduler {
    private struct Job {
        let time: Duration
        let place: Int
        let body: () -> Void
        func isBefore(_ other: Job) -> Bool { time != other.time ? time < other.time : place < other.place }
    }

    let random: SeededRandom
    private(set) var now: Duration = .zero
    private var heap: [Job] = []
    private var placed = 0

    init(seed: UInt64) { random = SeededRandom(seed: seed) }

    /// What is still to happen holds its world, and so lives as long as the process; where there are thousands, they are ended.
    func end() { heap = [] }

    // MARK: - Scheduler

    final class SimulatedTimer: NetIO.Timer {
        private unowned let world: SimulatedWorld
        private let onFire: () -> Void
        private var start = 0

        init(_ world: SimulatedWorld, _ onFire: @escaping () -> Void) {
            self.world = world
            self.onFire = onFire
        }

        func start(after delay: Duration) {
            start += 1
            world.after(delay) { [weak self, start] in if let self, self.start == start { onFire() } }
        }

        func cancel() { start += 1 }
    }

    func makeTimer(_ onFire: @escaping () -> Void) -> any NetIO.Timer { SimulatedTimer(self, onFire) }

    func later(_ body: @escaping () -> Void) { after(.zero, body) }

    func after(_ delay: Duration, _ body: @escaping () -> Void) {
        placed += 1
        push(Job(time: now + max(delay, .zero), place: placed, body: body))
    }

    // MARK: - Running

    /// Lets things happen until the condition holds.
    /// - Returns: false when nothing more happens, or not within the limit of simulated time.
    func run(until condition: () -> Bool, within limit: Duration = .seconds(3600)) -> Bool {
        let deadline = now + limit
        var steps = 0
        while !condition() {
            guard let next = heap.first, next.time <= deadline else {
                now = max(now, deadline)
                return condition()
            }
            steps += 1
            precondition(steps < 20_000_000, "something in the simulated world goes round in circles")
            now = pop().time
            next.body()
        }
        return true
    }

    /// Lets time pass.
    func pass(_ duration: Duration) { _ = run(until: { false }, within: duration) }

    private func push(_ job: Job) {
        heap.append(job)
        var child = heap.count - 1
        while child > 0, heap[child].isBefore(heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private func pop() -> Job {
        heap.swapAt(0, heap.count - 1)
        let first = heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].isBefore(heap[least]) {
                least = child
            }
            if least == parent { return first }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
