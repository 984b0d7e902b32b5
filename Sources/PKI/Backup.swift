import Glibc

/// Keeps what is about to be replaced.
public enum Backup {
    public static func exists(_ path: String) -> Bool { File.exists(path) }

    /// Copies a file to `path.old`, or `.old2` and so on where that is taken by something else.
    /// - Returns: the copy; nil where there is no file.
    @discardableResult
    public static func keep(_ path: String) throws(PKIError) -> String? {
        guard File.exists(path) else { return nil }
        let bytes = try File.read(path)
        var copy = "\(path).old"
        var number = 2
        while File.exists(copy) {
            if (try? File.read(copy)) == bytes { return copy }
            copy = "\(path).old\(number)"
            number += 1
        }
        try File.write(bytes, to: copy, mode: 0o644)
        return copy
    }
}
