import CLibevent
import Glibc
import Wire

/// Names to addresses through evdns, which reads /etc/hosts and /etc/resolv.conf; never blocks the loop.
///
/// Name servers are asked in the order in which they stand, the next when one does not answer, as the C library does: often only
/// the first knows the names of a private network. evdns alone would ask them in turn; so each has an evdns of its own.
final class Resolver {
    private let servers: [OpaquePointer]  // evdns_base *

    /// As many as the C library asks.
    private static let serverLimit = 3

    /// - Parameter configuration: where it cannot be read, /etc/hosts and a nameserver on this machine are all there is.
    init(loop: EventLoop, configuration: String = "/etc/resolv.conf") {
        // What fails is told with the session that wanted it, in a line of ours.
        evdns_set_log_fn { _, _ in }
        let addresses = Self.nameServers(configuration)
        servers = (addresses.isEmpty ? ["127.0.0.1"] : addresses).compactMap { address in
            guard let dns = evdns_base_new(loop.base, EVDNS_BASE_DISABLE_WHEN_INACTIVE) else { return nil }
            // Before the file's own options.
            evdns_base_set_option(dns, "timeout:", "3")
            evdns_base_set_option(dns, "attempts:", "2")
            evdns_base_resolv_conf_parse(dns, DNS_OPTION_SEARCH | DNS_OPTION_MISC | DNS_OPTION_HOSTSFILE, configuration)
            // Container engines' name servers compare letters as they are, and would not know bAckENd.
            evdns_base_set_option(dns, "randomize-case:", "0")
            guard evdns_base_nameserver_ip_add(dns, address) == 0 else {
                evdns_base_free(dns, 0)
                return nil
            }
            return dns
        }
    }

    deinit { for dns in servers { evdns_base_free(dns, 0) } }

    private static func nameServers(_ configuration: String) -> [String] {
        guard let file = fopen(configuration, "re") else { return [] }
        defer { fclose(file) }
        var servers: [String] = []
        var line = [CChar](repeating: 0, count: 1024)
        while servers.count < serverLimit, fgets(&line, Int32(line.count), file) != nil {
            let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                .split(whereSeparator: \.isWhitespace)
            if words.count >= 2, words[0] == "nameserver" { servers.append(String(words[1])) }
        }
        return servers
    }

    private final class Request {
        let completion: (_ code: Int32, [IPAddress]) -> Void
        init(_ completion: @escaping (Int32, [IPAddress]) -> Void) { self.completion = completion }
    }

    func resolve(_ host: String, _ completion: @escaping ([IPAddress], String?) -> Void) {
        guard let first = servers.first else { return completion([], "no name server") }
        ask(first, servers.dropFirst(), host, completion)
    }

    private func ask(
        _ server: OpaquePointer, _ others: ArraySlice<OpaquePointer>, _ host: String,
        _ completion: @escaping ([IPAddress], String?) -> Void
    ) {
        ask(server, host) { [weak self] code, addresses in
            guard code != 0 else { return completion(addresses, addresses.isEmpty ? "no address" : nil) }
            // "There is no such name" is an answer; silence is none.
            let isAnswer = code == EAI_NONAME || code == EVUTIL_EAI_CANCEL
            if let self, let next = others.first, !isAnswer { return ask(next, others.dropFirst(), host, completion) }
            completion([], String(cString: evutil_gai_strerror(code)))
        }
    }

    private func ask(_ dns: OpaquePointer, _ host: String, _ completion: @escaping (Int32, [IPAddress]) -> Void) {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        evdns_getaddrinfo(
            dns, host, nil, &hints,
            { code, list, context in
                let request = Unmanaged<Request>.fromOpaque(context!).takeRetainedValue()
                guard code == 0 else { return request.completion(code, []) }
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
                request.completion(0, addresses)
            }, Unmanaged.passRetained(Request(completion)).toOpaque())
    }
}
