import CLinux
import Glibc

/// How many processors the process may use: those that it may be scheduled on, less what its control groups' quotas take away.
public enum Processors {
    /// At least 1.
    public static var available: Int {
        // What affinity and cpuset leave (taskset, `docker run --cpuset-cpus`).
        let allowed = Int(ftpsgate_processors())
        let scheduled = allowed > 0 ? allowed : sysconf(Int32(_SC_NPROCESSORS_ONLN))
        let quota = quota(groups: TextFile.lines("/proc/self/cgroup"), root: "/sys/fs/cgroup")
        return max(1, min(scheduled, quota ?? scheduled))
    }

    /// The least of all quotas that the process is under, in whole processors, rounded up; nil where there is none.
    ///
    /// Each group counts, from the process's own to the root: a quota may be a parent's (a slice of systemd's). In a container
    /// the groups may be named as the host sees them, and the root is the container's own.
    /// - Parameters:
    ///   - groups: of /proc/self/cgroup.
    ///   - root: where control groups are mounted.
    static func quota(groups: [String], root: String) -> Int? {
        let quotas = groups.flatMap { line -> [Int] in
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { return [] }
            if parts[0] == "0", parts[1].isEmpty {
                return folders(parts[2], below: root).compactMap { quota(ofCPUMax: TextFile.lines("\($0)/cpu.max").first) }
            }
            guard parts[1].split(separator: ",").contains("cpu") else { return [] }
            return folders(parts[2], below: "\(root)/cpu").compactMap { quota(ofVersion1: $0) }
        }
        return quotas.min()
    }

    /// The group's own folder, and each above it down to the root.
    private static func folders(_ group: Substring, below root: String) -> [String] {
        var names = group.split(separator: "/")
        var folders: [String] = []
        while !names.isEmpty {
            folders.append("\(root)/\(names.joined(separator: "/"))")
            names.removeLast()
        }
        return folders + [root]
    }

    private static func quota(ofVersion1 folder: String) -> Int? {
        guard let quota = TextFile.lines("\(folder)/cpu.cfs_quota_us").first,
            let period = TextFile.lines("\(folder)/cpu.cfs_period_us").first
        else { return nil }
        return Self.quota(ofCPUMax: "\(quota) \(period)")
    }

    /// "150000 100000" is one processor and a half, and so two; "max 100000" is no limit, and neither is "-1 100000".
    static func quota(ofCPUMax line: String?) -> Int? {
        let words = line?.split(separator: " ") ?? []
        guard words.count == 2, let quota = Int(words[0]), let period = Int(words[1]), quota > 0, period > 0 else { return nil }
        return (quota + period - 1) / period
    }
}
