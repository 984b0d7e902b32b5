import Testing

@testable import System

@Suite struct ProcessorsOfTheControlGroup {
    @Test(
        arguments: [
            ("max 100000", nil), ("100000 100000", 1), ("150000 100000", 2), ("50000 100000", 1), ("800000 100000", 8), ("", nil),
            ("0 100000", nil), ("x y", nil), ("100000", nil), ("-1 100000", nil),
        ] as [(String, Int?)])
    func aQuotaIsRoundedUp(line: String, processors: Int?) {
        #expect(Processors.quota(ofCPUMax: line) == processors)
    }

    @Test func thereIsAlwaysOne() { #expect(Processors.available >= 1) }
}
