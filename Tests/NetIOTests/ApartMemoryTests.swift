import CLinux
import Testing

/// Smallest blocks in pages of their own, the others as ever.
struct ApartMemoryTests {
    private static let room = 16 << 20

    @Test func smallestBlocksLieTogetherAndOthersDoNot() throws {
        let small = try (0..<1000).map { _ in try #require(ftpsgate_apart_malloc(16)) }
        #expect(Set(small).count == 1000)
        let (first, last) = (try #require(small.min()), try #require(small.max()))
        #expect(last - first < Self.room)
        let large = try #require(ftpsgate_apart_malloc(17))
        #expect(large < first || large > last)
        ftpsgate_apart_free(large)
        for block in small { ftpsgate_apart_free(block) }
        // What was given back is taken again.
        let again = try #require(ftpsgate_apart_malloc(1))
        #expect(abs(again - first) < Self.room)
        ftpsgate_apart_free(again)
    }

    @Test func aBlockKeepsItsBytesWhenItGrows() throws {
        var block = try #require(ftpsgate_apart_realloc(nil, 16))
        block.initializeMemory(as: UInt8.self, repeating: 7, count: 16)
        block = try #require(ftpsgate_apart_realloc(block, 5))
        for size in [17, 1000] {
            block = try #require(ftpsgate_apart_realloc(block, size))
            #expect((0..<16).allSatisfy { block.load(fromByteOffset: $0, as: UInt8.self) == 7 })
        }
        ftpsgate_apart_free(block)
        ftpsgate_apart_free(nil)
    }
}
