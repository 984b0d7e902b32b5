import Glibc
public import Wire

/// One question to a server on this machine and its answer, waiting for both: for commands that do nothing else.
public enum Exchange {
    public enum Address: Equatable, Sendable {
        case tcp(SocketAddress)
        case unix(path: String)
    }

    private static let answerLimit = 64 * 1024

    /// Connects, sends, and reads until the server closes, at most 64 KiB.
    /// - Parameter limit: for connecting, and for each wait after it; at least a millisecond.
    public static func ask(_ address: Address, _ question: String, within limit: Duration) -> Result<String, SystemFailure> {
        let family = if case .tcp(let address) = address { address.ip.family == .v4 ? AF_INET : AF_INET6 } else { AF_UNIX }
        let descriptor = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return .failure(SystemFailure(code: errno)) }
        defer { close(descriptor) }
        let (seconds, attoseconds) = limit.components
        var wait = timeval(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
        // The kernel applies the first to connect(2) as well.
        for option in [SO_SNDTIMEO, SO_RCVTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &wait, socklen_t(MemoryLayout<timeval>.size))
        }
        guard connect(descriptor, to: address) == 0 else { return .failure(SystemFailure(code: errno)) }
        let bytes = Array(question.utf8)
        guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            return .failure(SystemFailure(code: errno))
        }
        var answer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while answer.count < answerLimit {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count == 0 { break }
            guard count > 0 else { return .failure(SystemFailure(code: errno)) }
            answer += chunk[..<count]
        }
        return .success(String(decoding: answer, as: UTF8.self))
    }

    private static func connect(_ descriptor: Int32, to address: Address) -> Int32 {
        func connect<Name>(_ name: Name) -> Int32 {
            withUnsafePointer(to: name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<Name>.size))
                }
            }
        }
        switch address {
        case .unix(let path):
            var name = sockaddr_un()
            name.sun_family = sa_family_t(AF_UNIX)
            guard path.utf8.count < MemoryLayout.size(ofValue: name.sun_path) else {
                errno = ENAMETOOLONG
                return -1
            }
            withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.utf8) }
            return connect(name)
        case .tcp(let address) where address.ip.family == .v4:
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = address.port.bigEndian
            withUnsafeMutableBytes(of: &name.sin_addr) { $0.copyBytes(from: address.ip.octets) }
            return connect(name)
        case .tcp(let address):
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = address.port.bigEndian
            name.sin6_scope_id = address.scope
            withUnsafeMutableBytes(of: &name.sin6_addr) { $0.copyBytes(from: address.ip.octets) }
            return connect(name)
        }
    }
}
