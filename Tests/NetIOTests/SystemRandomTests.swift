import Testing

@testable import NetIO

struct SystemRandomTests {
    @Test func numbersAreWithinTheirBoundAndNoneComesTwice() {
        let random = SystemRandom()
        let numbers = (0..<1000).map { _ in random.number(below: 1 << 60) }
        #expect(numbers.allSatisfy { (0..<1 << 60).contains($0) })
        #expect(Set(numbers).count == 1000)
        #expect(Set((0..<1000).map { _ in random.number(below: 4) }) == [0, 1, 2, 3])
    }
}
