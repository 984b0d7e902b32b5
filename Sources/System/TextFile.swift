import Glibc

/// Small text files: the kernel's, and the operator's.
public enum TextFile {
    /// More than any configuration; keeps a wrong path from filling the memory.
    private static let maximumSize = 4 * 1024 * 1024

    /// The whole file, or the kernel's number for why not.
    public static func read(_ path: String) -> Result<String, SystemFailure> {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return .failure(SystemFailure(code: errno)) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return .failure(SystemFailure(code: errno)) }
            guard count > 0 else { return .success(String(decoding: bytes, as: UTF8.self)) }
            bytes += chunk[..<count]
            guard bytes.count <= maximumSize else { return .failure(SystemFailure(code: EFBIG)) }
        }
    }

    /// Its lines without their ends; none where it cannot be read.
    static func lines(_ path: String) -> [String] {
        guard case .success(let text) = read(path) else { return [] }
        return text.split(separator: "\n").map(String.init)
    }
}

/// A system call's failure, in the kernel's words.
public struct SystemFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// `errno`.
    public let code: Int32
    public init(code: Int32) { self.code = code }
    public var description: String { String(cString: strerror(code)) }
}
