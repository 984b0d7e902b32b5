import Glibc

/// The program under test, as it was built beside the tests.
public enum Program {
    public static let path: String = {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        precondition(count > 0, "a process knows its own file")
        let own = String(decoding: buffer[..<count], as: UTF8.self)
        return "\(own[..<own.lastIndex(of: "/")!])/ftpsgate"
    }()
}
