import Testing
import Wire

struct PortMapTests {
    @Test func aPortOrARangeIsSeenAsAnother() throws {
        let map = try #require(PortMap("50000=40000,50010-50019=41010-41019"))
        #expect(map.seen(50_000) == 40_000)
        #expect(map.seen(50_010) == 41_010 && map.seen(50_019) == 41_019)
        #expect(map.seen(50_001) == nil && map.seen(50_009) == nil && map.seen(50_020) == nil)
        #expect(map.ports.map(\.description) == ["50000", "50010-50019"])
        #expect(PortMap(map.description) == map)
        #expect(PortMap().seen(50_000) == nil)
    }

    @Test(arguments: [
        "", "50000", "50000=", "=40000", "50000=40000=1", "50000=0", "50000-50009=40000", "50000=40000,", "a=b",
        "50000=40000,50000=40001", "50000-50009=40000-40009,50020=40009",
    ])
    func otherTextsAreNoMaps(_ text: String) { #expect(PortMap(text) == nil) }
}
