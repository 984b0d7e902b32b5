import Glibc

/// A listening socket that the service manager opened and handed to this process (sd_listen_fds(3)).
public struct ActivatedSocket: Equatable, Sendable {
    /// `FileDescriptorName=` of the socket unit; several sockets may share one.
    public let name: String
    /// Open; whoever uses the socket closes it.
    public let descriptor: Int32

    public init(name: String, descriptor: Int32) {
        self.name = name
        self.descriptor = descriptor
    }
}

/// What is wrong with the sockets that the service manager handed over: one sentence.
public struct ActivationError: Error, Equatable, CustomStringConvertible {
    public let description: String
}

/// The sockets of socket activation: `LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES`.
public enum ActivatedSockets {
    /// Descriptors are counted from here.
    private static let first: Int32 = 3
    private static let limit = 256

    /// All sockets that were handed to this very process, made non-blocking and close-on-exec; empty where there are none.
    /// - Throws: when the variables contradict each other, or a descriptor is no listening TCP socket.
    public static func inherited(environment: [String: String]) throws(ActivationError) -> [ActivatedSocket] {
        // Meant for a process before us, which left its environment behind.
        guard let owner = environment["LISTEN_PID"], Int32(owner) == getpid() else { return [] }
        guard let text = environment["LISTEN_FDS"], let count = Int(text), (1...limit).contains(count) else {
            throw ActivationError(description: "LISTEN_FDS must be a number from 1 to \(limit); the service manager sets it.")
        }
        let names = environment["LISTEN_FDNAMES"].map {
            $0.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        }
        if let names, names.count != count {
            throw ActivationError(description: "LISTEN_FDNAMES has \(names.count) names, and LISTEN_FDS says \(count) sockets.")
        }
        var sockets: [ActivatedSocket] = []
        for index in 0..<count {
            let socket = ActivatedSocket(name: names?[index] ?? "unknown", descriptor: first + Int32(index))
            guard isListeningOnTCP(socket.descriptor) else {
                throw ActivationError(
                    description: "the socket \"\(socket.name)\" (descriptor \(socket.descriptor)) of the service manager is no "
                        + "listening TCP socket; use ListenStream= with a port and Accept=no in its socket unit.")
            }
            _ = fcntl(socket.descriptor, F_SETFD, FD_CLOEXEC)
            _ = fcntl(socket.descriptor, F_SETFL, fcntl(socket.descriptor, F_GETFL) | O_NONBLOCK)
            sockets.append(socket)
        }
        return sockets
    }

    private static func isListeningOnTCP(_ descriptor: Int32) -> Bool {
        guard option(SO_ACCEPTCONN, descriptor) == 1, let domain = option(SO_DOMAIN, descriptor) else { return false }
        return domain == AF_INET || domain == AF_INET6
    }

    private static func option(_ name: Int32, _ descriptor: Int32) -> Int32? {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
    }
}
