import COpenSSL
import Glibc

/// The trusted authorities database: a folder of certificates, one a file, whose holders are trusted to have signed clients'
/// certificates. Files appear and vanish whole, so it can be read while it changes.
public struct TrustList: Sendable {
    public struct Entry: Sendable, Equatable {
        public let file: String
        public let certificate: Certificate
    }

    public let path: String

    public init(path: String) { self.path = path }

    /// The files that count, in the order of their names: `.crt`, `.pem`, `.cer` and `.der`.
    /// - Throws: where the folder is there and cannot be read. A missing one is empty.
    public func files() throws(PKIError) -> [String] { try Self.files(path, endings: Self.endings) }

    static let endings = [".crt", ".pem", ".cer", ".der"]

    /// A folder's files by their endings, hidden ones left out, in the order of their names.
    package static func files(_ path: String, endings: [String]) throws(PKIError) -> [String] {
        guard let folder = opendir(path) else {
            guard errno == ENOENT else { throw .file(path: path, errno: errno) }
            return []
        }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if !name.hasPrefix("."), endings.contains(where: name.hasSuffix) { names.append("\(path)/\(name)") }
        }
        return names.sorted()
    }

    public func entries() throws(PKIError) -> [Entry] {
        var entries: [Entry] = []
        for file in try files() {
            entries += try Certificate.readAll(file: file).map { Entry(file: file, certificate: $0) }
        }
        return entries
    }

    /// Puts a certificate in, under a name made of its own and of its fingerprint.
    /// - Returns: its file, and whether it is new.
    public func add(_ certificate: Certificate) throws(PKIError) -> (file: String, isNew: Bool) {
        if let known = try entries().first(where: { $0.certificate == certificate }) { return (known.file, false) }
        let name = (certificate.details.commonName ?? "authority").utf8.prefix(40).map { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                byte
            default: UInt8(ascii: "-")
            }
        }
        let print = certificate.sha256Fingerprint.utf8.filter { $0 != UInt8(ascii: ":") }.prefix(12)
        let text = String(decoding: name + [UInt8(ascii: "-")] + print, as: UTF8.self).lowercased()
        let file = "\(path)/\(text).crt"
        guard Self.makeFolder(path) else { throw .file(path: path, errno: errno) }
        try certificate.write(to: file)
        return (file, true)
    }

    /// Takes out what is named by its file, by the beginning of its fingerprint, or by its common name.
    /// A file that holds others as well keeps them.
    /// - Returns: what is gone.
    public func remove(_ name: String) throws(PKIError) -> [Entry] {
        let wanted = name.uppercased().filter { $0 != ":" }
        let all = try entries()
        let matching = all.filter { entry in
            entry.file == name || entry.file == "\(path)/\(name)"
                || (wanted.count >= 8 && entry.certificate.sha256Fingerprint.filter { $0 != ":" }.hasPrefix(wanted))
                || entry.certificate.details.commonName == name
        }
        for file in Set(matching.map(\.file)).sorted() {
            let rest = all.filter { $0.file == file && !matching.contains($0) }.map(\.certificate)
            if !rest.isEmpty {
                try Certificate.write(rest, to: file)
            } else if unlink(file) != 0 {
                throw .file(path: file, errno: errno)
            }
        }
        return matching
    }

    private static func makeFolder(_ path: String) -> Bool {
        if mkdir(path, 0o755) == 0 || errno == EEXIST { return true }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return false }
        return makeFolder(String(path[..<slash])) && (mkdir(path, 0o755) == 0 || errno == EEXIST)
    }
}
