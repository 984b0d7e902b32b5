import Glibc

/// Whole small files; every failure names the file.
package enum File {
    /// More than any chain of certificates; keeps a wrong path (a device, a log) from filling the memory.
    private static let maximumSize = 16 * 1024 * 1024

    package static func read(_ path: String) throws(PKIError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .file(path: path, errno: errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        // Whatever it holds may be secret: no copy stays behind in memory that is let go.
        var facts = stat()
        if fstat(descriptor, &facts) == 0 { bytes.reserveCapacity(min(maximumSize, max(0, Int(facts.st_size))) + 1) }
        var chunk = [UInt8](repeating: 0, count: 16_384)
        defer { wipe(&chunk) }
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw .file(path: path, errno: errno) }
            guard count > 0 else { return bytes }
            bytes.append(contentsOf: chunk[..<count])
            guard bytes.count <= maximumSize else { throw .file(path: path, errno: EFBIG) }
        }
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    package static func isFolder(_ path: String) -> Bool { kind(path) == S_IFDIR }

    /// Whether it is a pipe or a device, and no file.
    static func isStream(_ path: String) -> Bool { ![S_IFREG, S_IFDIR, nil].contains(kind(path)) }

    /// S_IFREG, S_IFDIR and so on; nil where there is nothing.
    static func kind(_ path: String, followsLinks: Bool = true) -> mode_t? {
        var facts = stat()
        return (followsLinks ? stat(path, &facts) : lstat(path, &facts)) == 0 ? facts.st_mode & S_IFMT : nil
    }

    /// Whether nobody but the owner (and root) can read or change a regular file.
    package static func isPrivate(_ path: String) -> Bool {
        var facts = stat()
        return lstat(path, &facts) == 0 && facts.st_mode & S_IFMT == S_IFREG && facts.st_mode & 0o077 == 0
    }

    /// Writes beside the file and renames, so that nobody ever sees half a file or one with a wider mode.
    package static func write(_ bytes: [UInt8], to path: String, mode: UInt32) throws(PKIError) {
        var template = Array("\(path).XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)  // mode 0600
        guard descriptor >= 0 else { throw .file(path: path, errno: errno) }
        var problem: Int32?
        if !writeAll(bytes, to: descriptor) || fchmod(descriptor, mode) != 0 || fsync(descriptor) != 0 { problem = errno }
        if close(descriptor) != 0 && problem == nil { problem = errno }
        if problem == nil && rename(template, path) != 0 { problem = errno }
        if let problem {
            unlink(template)
            throw .file(path: path, errno: problem)
        }
    }

    private static func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}

/// Overwrites a secret that is needed no more. What it was copied from, the caller wipes by itself.
package func wipe<Element: BitwiseCopyable>(_ secret: inout [Element]) {
    secret.withUnsafeMutableBytes { bytes in
        if let start = bytes.baseAddress { explicit_bzero(start, bytes.count) }
    }
}
