import TestSupport
import Testing

@testable import System

@Suite struct ProcessorsTests {
    @Test(
        arguments: [
            ("max 100000", nil), ("100000 100000", 1), ("150000 100000", 2), ("50000 100000", 1), ("800000 100000", 8), ("", nil),
            ("0 100000", nil), ("x y", nil), ("100000", nil), ("-1 100000", nil),
        ] as [(String, Int?)])
    func aQuotaIsRoundedUp(line: String, processors: Int?) {
        #expect(Processors.quota(ofCPUMax: line) == processors)
    }

    @Test func thereIsAlwaysOne() { #expect(Processors.available >= 1) }

    struct Layout: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let groups: [String]
        let files: [String: String]
        let quota: Int?

        init(_ name: String, _ groups: [String], _ files: [String: String], _ quota: Int?) {
            (testDescription, self.groups, self.files, self.quota) = (name, groups, files, quota)
        }
    }

    @Test(arguments: [
        Layout("no control groups", [], [:], nil),
        Layout("a container with a namespace", ["0::/"], ["cpu.max": "200000 100000"], 2),
        Layout("the process's own", ["0::/a.slice/b.service"], ["a.slice/b.service/cpu.max": "100000 100000"], 1),
        Layout(
            "a parent's", ["0::/a.slice/b.service"],
            ["a.slice/cpu.max": "250000 100000", "a.slice/b.service/cpu.max": "max 100000"], 3),
        Layout(
            "the least", ["0::/a/b"], ["a/cpu.max": "100000 100000", "a/b/cpu.max": "400000 100000", "cpu.max": "max 100000"], 1),
        Layout("named from outside the namespace", ["0::/../other"], ["cpu.max": "300000 100000"], 3),
        Layout(
            "version 1", ["4:memory:/x", "2:cpu,cpuacct:/x", "1:cpuset:/"],
            ["cpu/x/cpu.cfs_quota_us": "150000", "cpu/x/cpu.cfs_period_us": "100000"], 2),
        Layout(
            "version 1, no limit", ["2:cpu:/x", "0::/"],
            ["cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"], nil),
        Layout(
            "version 1, named as the host sees it", ["2:cpu,cpuacct:/docker/0123"],
            ["cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"], 4),
        Layout("of processor sets alone", ["1:cpuset:/x"], ["cpu/x/cpu.cfs_quota_us": "100000"], nil),
        Layout("nonsense", ["", "0::", "0:", "a:b:c:d"], [:], nil),
    ])
    func everyGroupCounts(layout: Layout) {
        let root = TemporaryFolder()
        for (name, text) in layout.files {
            let folder = name.split(separator: "/").dropLast().joined(separator: "/")
            #expect(Shell.run("mkdir -p \(root.file(folder))").status == 0)
            root.write("\(text)\n", to: name)
        }
        #expect(Processors.quota(groups: layout.groups, root: root.path) == layout.quota)
    }
}
