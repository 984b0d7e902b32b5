import COpenSSL
import Glibc

/// What a file or a folder says, for telling whether it still says that. No more is kept of keys and passphrases.
public enum FileDigest: Hashable, Sendable {
    /// SHA-256: equal digests are taken for equal contents, and a new certificate must never be missed.
    case contents(sha256: [UInt8])
    /// The files directly in it, by their names, without hidden ones.
    case folder([String: FileDigest])
    /// A pipe or a device, which says it once.
    case stream
    /// Mostly because nothing is there.
    case unreadable(errno: Int32)

    /// Of what is there now.
    public init(_ path: String) { self.init(path, entersFolder: true) }

    private init(_ path: String, entersFolder: Bool) {
        switch File.kind(path) {
        case S_IFDIR where entersFolder:
            guard let names = Self.names(in: path) else {
                self = .unreadable(errno: errno)
                return
            }
            let files = names.map { ($0, FileDigest("\(path)/\($0)", entersFolder: false)) }
            self = .folder(Dictionary(uniqueKeysWithValues: files))
        case nil, S_IFREG, S_IFDIR:
            do throws(PKIError) {
                var bytes = try File.read(path)
                defer { wipe(&bytes) }
                self = .contents(sha256: sha256(bytes))
            } catch {
                self = .unreadable(errno: error.errno ?? 0)
            }
        // To read from a pipe would be to take away what it says, or to wait for ever.
        default: self = .stream
        }
    }

    /// Of what was read from a file.
    package init(of bytes: [UInt8], from file: String) {
        self = File.isStream(file) ? .stream : .contents(sha256: sha256(bytes))
    }

    /// Nil with `errno` where they cannot be listed.
    private static func names(in folder: String) -> Set<String>? {
        guard let stream = opendir(folder) else { return nil }
        defer { closedir(stream) }
        var names: Set<String> = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if !name.hasPrefix(".") { names.insert(name) }
        }
        return names
    }
}

extension FileDigest {
    /// The folders in which a change may give one of these paths another content: its own, that which its links lead to, and
    /// itself where it is a folder.
    public static func folders(of paths: some Sequence<String>) -> Set<String> {
        var folders: Set<String> = []
        for path in paths {
            // Of thousands of files few are links: their folders are looked at once.
            if folders.insert(parent(of: path)).inserted, let real = real(parent(of: path)) { folders.insert(real) }
            switch File.kind(path, followsLinks: false) {
            case S_IFDIR: folders.insert(path)
            case S_IFLNK:
                if let real = real(path) { folders.insert(parent(of: real)) }
                if File.isFolder(path) { folders.insert(path) }
            default: break
            }
        }
        return folders
    }

    private static func real(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

package func sha256(_ bytes: [UInt8]) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_LENGTH))
    guard EVP_Digest(bytes, bytes.count, &digest, nil, EVP_sha256(), nil) == 1 else {
        preconditionFailure("OpenSSL has no SHA-256")
    }
    return digest
}
