import Glibc

/// This process, as the kernel sees it.
public enum Process {
    /// Files and sockets that may be open at once, after raising the limit as far as it goes. To be called before any thread is
    /// started.
    ///
    /// Every passive port and every session's connections count; the usual soft limit of 1,024 is for select(2), which nobody
    /// here uses. Some systems allow a thousand million, which is no limit worth having.
    @discardableResult
    public static func raiseDescriptorLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit) == 0 else { return 1024 }
        let wanted = min(limit.rlim_max, 1_048_576)
        if limit.rlim_cur < wanted {
            limit.rlim_cur = wanted
            setrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit)
            getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit)
        }
        let count = Int(clamping: limit.rlim_cur)
        widenDescriptorTable(to: min(count, 8192))
        return count
    }

    /// The kernel's table of descriptors doubles when it is full, and once the process has threads it waits then until every
    /// processor has been elsewhere: milliseconds, in which nobody is accepted. Eight bytes a descriptor are cheaper.
    private static func widenDescriptorTable(to count: Int) {
        let last = fcntl(2, F_DUPFD, Int32(count - 1))
        if last >= 0 { close(last) }
    }

    /// A peer that is gone is a result of write(2), not the end of the process.
    public static func ignoreBrokenPipes() {
        signal(SIGPIPE, SIG_IGN)
    }

    public static var environment: [String: String] {
        var values: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                values[String(text[..<equals])] = String(text[text.index(after: equals)...])
            }
            next += 1
        }
        return values
    }

    public static var hostName: String? {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return nil }
        let name = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return name.isEmpty ? nil : name
    }

    /// Makes the folder where it is missing, its parents too.
    /// - Returns: whether files can be made in it.
    public static func prepareDirectory(_ path: String) -> Bool {
        var made = ""
        for part in path.split(separator: "/", omittingEmptySubsequences: false) {
            made += made.isEmpty && part.isEmpty ? "/" : (made.isEmpty || made.hasSuffix("/") ? "" : "/") + part
            if access(made, F_OK) != 0, mkdir(made, 0o700) != 0, errno != EEXIST { return false }
        }
        return access(path, W_OK | X_OK) == 0
    }

    public static func isWritableFolder(_ path: String) -> Bool { access("\(path)/.", W_OK | X_OK) == 0 }

    /// Whole lines on standard output, at once.
    public static func print(_ line: String) { write(1, line) }

    /// Whole lines on standard error, at once.
    public static func complain(_ line: String) { write(2, line) }

    private static func write(_ descriptor: Int32, _ line: String) {
        var rest = Array((line + "\n").utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}

/// The time of day.
public enum WallClock {
    /// Seconds since 1970.
    public static var now: Int64 { Int64(time(nil)) }
}
