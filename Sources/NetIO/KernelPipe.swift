import CLinux
import Glibc

/// A pipe of the kernel's through which bytes go from one connection to another without this process seeing them.
public final class KernelPipe {
    let readEnd: Int32
    let writeEnd: Int32
    /// Bytes that are in it.
    public internal(set) var heldCount = 0

    public init() throws(SystemError) {
        var ends: (Int32, Int32) = (-1, -1)
        let made = withUnsafeMutablePointer(to: &ends) {
            $0.withMemoryRebound(to: Int32.self, capacity: 2) { ftpsgate_pipe($0) }
        }
        guard made == 0 else { throw SystemError("pipe") }
        (readEnd, writeEnd) = ends
    }

    /// Takes bytes out again, where the kernel would not pass them on.
    public func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = max(0, Glibc.read(readEnd, buffer.baseAddress, min(buffer.count, heldCount)))
        heldCount -= count
        return count
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }
}

/// A worker's pipes: those that are empty serve again.
public final class KernelPipes {
    private var idle: [KernelPipe] = []

    private static let idleLimit = 16

    public init() {}

    /// - Returns: an empty one; nil where the kernel grants no more.
    public func take() -> KernelPipe? { idle.popLast() ?? (try? KernelPipe()) }

    /// One that still holds bytes of a transfer is of no use to another.
    public func giveBack(_ pipe: KernelPipe) {
        if pipe.heldCount == 0, idle.count < Self.idleLimit { idle.append(pipe) }
    }

    /// Pipes that wait for a transfer.
    public var idleCount: Int { idle.count }

    public func trim() { idle = [] }
}
