import Testing
import Wire

struct PortRangeTests {
    @Test(arguments: [
        ("50000-50999", 50000, 50999, 1000), ("1-65535", 1, 65535, 65535), ("21", 21, 21, 1), ("21-21", 21, 21, 1),
        ("00021", 21, 21, 1),
    ])
    func readsRanges(text: String, lower: UInt16, upper: UInt16, count: Int) throws {
        let range = try #require(PortRange(text))
        #expect((range.lower, range.upper, range.count) == (lower, upper, count))
        #expect(range.contains(lower) && range.contains(upper))
        #expect(PortRange(range.description) == range)
    }

    @Test(arguments: [
        "", "-", "0", "0-5", "5-", "-5", "6-5", "1-65536", "65536", "1-2-3", " 1-2", "1 - 2", "+1", "a-b", "000021",
    ])
    func refusesOtherTexts(text: String) {
        #expect(PortRange(text) == nil)
    }

    @Test func excludesWhatLiesBeside() throws {
        let range = try #require(PortRange(lower: 100, upper: 200))
        #expect(!range.contains(99) && !range.contains(201))
        #expect(PortRange(lower: 0, upper: 5) == nil)
        #expect(PortRange(lower: 6, upper: 5) == nil)
    }
}
