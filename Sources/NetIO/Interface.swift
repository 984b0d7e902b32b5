import Glibc
public import Wire

/// The machine's network interfaces.
public enum Interface {
    /// The addresses of the interface with this name, IPv4 first; empty when there is no such interface.
    public static func addresses(of name: String) -> [IPAddress] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return [] }
        defer { freeifaddrs(list) }
        var found: [IPAddress] = []
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            guard String(cString: entry.pointee.ifa_name) == name, let address = entry.pointee.ifa_addr else { continue }
            let size: Int
            switch Int32(address.pointee.sa_family) {
            case AF_INET: size = MemoryLayout<sockaddr_in>.size
            case AF_INET6: size = MemoryLayout<sockaddr_in6>.size
            default: continue
            }
            var storage = sockaddr_storage()
            withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: size)) }
            if let ip = SocketAddress(storage)?.ip { found.append(ip) }
        }
        return found.filter { $0.family == .v4 } + found.filter { $0.family == .v6 && !$0.isLinkLocal }
    }
}
