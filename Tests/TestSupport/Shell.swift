import Glibc

/// Runs other programs for tests that compare with them.
public enum Shell {
    public struct Result: Sendable, Equatable {
        /// The exit status; 128 and more where a signal ended it.
        public let status: Int32
        /// Standard output, and standard error where the command line joins them (`2>&1`).
        public let output: String
    }

    /// Runs a line of `/bin/sh` to its end. What may hang belongs behind `timeout`.
    public static func run(_ line: String) -> Result {
        guard let stream = popen(line, "re") else { return Result(status: 127, output: "popen failed") }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = fread(&chunk, 1, chunk.count, stream)
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        let status = pclose(stream)
        let code = status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
        return Result(status: code, output: String(decoding: bytes, as: UTF8.self))
    }

    public static func mode(of path: String) -> UInt32? {
        var facts = stat()
        return stat(path, &facts) == 0 ? facts.st_mode & 0o7777 : nil
    }
}
