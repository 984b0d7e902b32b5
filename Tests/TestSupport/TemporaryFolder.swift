import Glibc

/// A folder of one test's own, gone with all that is in it when the test lets go of it.
public final class TemporaryFolder: Sendable {
    public let path: String

    public init() {
        var template = Array("/tmp/ftpsgate-test.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { fatalError("no folder under /tmp: \(String(cString: strerror(errno)))") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { _ = Shell.run("rm -rf \(path)") }

    public func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a file of this text, and returns its path.
    @discardableResult
    public func write(_ text: String, to name: String, mode: UInt32 = 0o644) -> String {
        write(Array(text.utf8), to: name, mode: mode)
    }

    @discardableResult
    public func write(_ bytes: [UInt8], to name: String, mode: UInt32 = 0o644) -> String {
        let path = file(name)
        guard let stream = fopen(path, "w") else { fatalError("cannot write \(path)") }
        let count = fwrite(bytes, 1, bytes.count, stream)
        guard fclose(stream) == 0, count == bytes.count, chmod(path, mode) == 0 else { fatalError("cannot write \(path)") }
        return path
    }
}
