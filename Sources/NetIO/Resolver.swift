import CLibevent
import Glibc
import Wire

/// Names to addresses through evdns, which reads /etc/hosts and /etc/resolv.conf; never blocks the loop.
final class Resolver {
    private let dns: OpaquePointer?  // evdns_base *

    /// - Parameter configuration: where it cannot be read, /etc/hosts and a nameserver on this machine are all there is.
    init(loop: EventLoop, configuration: String = "/etc/resolv.conf") {
        dns = evdns_base_new(loop.base, EVDNS_BASE_DISABLE_WHEN_INACTIVE)
        if let dns {
            evdns_base_resolv_conf_parse(
                dns, DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC | DNS_OPTION_HOSTSFILE, configuration)
        }
    }

    deinit { if let dns { evdns_base_free(dns, 0) } }

    private final class Request {
        let completion: ([IPAddress], String?) -> Void
        init(_ completion: @escaping ([IPAddress], String?) -> Void) { self.completion = completion }
    }

    func resolve(_ host: String, _ completion: @escaping ([IPAddress], String?) -> Void) {
        guard let dns else { return completion([], "out of memory") }
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        evdns_getaddrinfo(
            dns, host, nil, &hints,
            { code, list, context in
                let request = Unmanaged<Request>.fromOpaque(context!).takeRetainedValue()
                guard code == 0 else {
                    return request.completion([], String(cString: evutil_gai_strerror(code)))
                }
                defer { evutil_freeaddrinfo(list) }
                var addresses: [IPAddress] = []
                var next = list
                while let entry = next {
                    var storage = sockaddr_storage()
                    if let address = entry.pointee.ai_addr, Int(entry.pointee.ai_addrlen) <= MemoryLayout<sockaddr_storage>.size {
                        withUnsafeMutableBytes(of: &storage) {
                            $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(entry.pointee.ai_addrlen)))
                        }
                        if let found = SocketAddress(storage)?.ip, !addresses.contains(found) { addresses.append(found) }
                    }
                    next = entry.pointee.ai_next
                }
                request.completion(addresses, addresses.isEmpty ? "no address" : nil)
            }, Unmanaged.passRetained(Request(completion)).toOpaque())
    }
}
