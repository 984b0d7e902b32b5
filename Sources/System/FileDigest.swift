import Glibc

/// Tells whether the contents of files are what they were, within one process.
public enum FileDigest {
    /// Of files, and of all files directly in folders; a missing file counts as such.
    public static func of(_ paths: some Sequence<String>) -> Int {
        var hasher = Hasher()
        for path in paths {
            hasher.combine(path)
            if let names = names(in: path) {
                for name in names { add("\(path)/\(name)", to: &hasher) }
            } else {
                add(path, to: &hasher)
            }
        }
        return hasher.finalize()
    }

    private static func add(_ path: String, to hasher: inout Hasher) {
        hasher.combine(path)
        switch TextFile.readBytes(path) {
        case .success(let bytes): bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
        case .failure(let failure): hasher.combine(failure.code)
        }
    }

    /// Nil where the path is no folder.
    private static func names(in path: String) -> [String]? {
        guard let folder = opendir(path) else { return nil }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    /// The folders in which a change may give one of these paths another content: its own, that which its links lead to, and
    /// itself where it is a folder.
    public static func folders(of paths: some Sequence<String>) -> Set<String> {
        var folders: Set<String> = []
        for path in paths {
            folders.insert(parent(of: path))
            if let real = realpath(path, nil) {
                folders.insert(parent(of: String(cString: real)))
                free(real)
            }
            if names(in: path) != nil { folders.insert(path) }
        }
        return folders
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
