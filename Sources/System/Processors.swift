import Glibc

/// How many processors the process may use: those that it may be scheduled on, less what the cgroup's quota takes away.
public enum Processors {
    /// At least 1.
    public static var available: Int {
        let online = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        guard let quota = quota() else { return online }
        return max(1, min(online, quota))
    }

    /// Whole processors of the cgroup's quota, rounded up; nil where there is none.
    private static func quota() -> Int? {
        // cgroup 2: the process's own group, then the root that a container sees.
        let own = TextFile.lines("/proc/self/cgroup").compactMap { line in
            line.hasPrefix("0::") ? String(line.dropFirst(3)) : nil
        }
        let quotas = (own + [""]).compactMap { path in
            TextFile.lines("/sys/fs/cgroup\(path == "/" ? "" : path)/cpu.max").first.flatMap { quota(ofCPUMax: $0) }
        }
        if let least = quotas.min() { return least }
        // cgroup 1.
        guard let quota = TextFile.lines("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").first.flatMap({ Int($0) }), quota > 0,
            let period = TextFile.lines("/sys/fs/cgroup/cpu/cpu.cfs_period_us").first.flatMap({ Int($0) }), period > 0
        else { return nil }
        return (quota + period - 1) / period
    }

    /// "150000 100000" is one processor and a half; "max 100000" is no limit.
    static func quota(ofCPUMax line: String) -> Int? {
        let words = line.split(separator: " ")
        guard words.count == 2, let quota = Int(words[0]), let period = Int(words[1]), quota > 0, period > 0 else { return nil }
        return (quota + period - 1) / period
    }
}
