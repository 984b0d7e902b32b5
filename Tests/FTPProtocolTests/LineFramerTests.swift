import FTPProtocol
import Testing

/// Everything that the framer makes of `text`, which arrives in pieces of `size` bytes.
private func lines(_ text: String, limit: Int = 20, pieces size: Int) -> [String] {
    var framer = LineFramer(limit: limit)
    var rest = Array(text.utf8)[...]
    var lines: [String] = []
    while !rest.isEmpty {
        framer.append(contentsOf: rest.prefix(size))
        rest = rest.dropFirst(size)
        while let line = framer.next() {
            guard case .line(let bytes) = line else {
                lines.append("<too long>")
                continue
            }
            lines.append(String(decoding: bytes, as: UTF8.self))
        }
    }
    return lines
}

struct LineFramerTests {
    @Test(arguments: [1, 2, 3, 7, 1000])
    func findsLinesHoweverTheyArrive(pieces: Int) {
        let text = "USER a\r\nPASS b\n\r\n\nQUIT\r\nnot yet"
        #expect(lines(text, pieces: pieces) == ["USER a", "PASS b", "", "", "QUIT"])
    }

    /// Only one CR belongs to the end; CR elsewhere is the line's own.
    @Test(arguments: [1, 1000])
    func keepsCRThatIsNotTheEnd(pieces: Int) {
        #expect(lines("a\rb\r\r\n\rc\n", pieces: pieces) == ["a\rb\r", "\rc"])
    }

    @Test(arguments: [1, 5, 1000])
    func dropsLongLinesWholeAndReportsThemOnce(pieces: Int) {
        let fits = String(repeating: "x", count: 20)
        let text = "\(fits)\r\n\(fits)y\r\nNOOP\r\n\(fits)\(fits)\(fits)\nQUIT\r\n"
        #expect(lines(text, pieces: pieces) == [fits, "<too long>", "NOOP", "<too long>", "QUIT"])
    }

    @Test func aLineThatNeverEndsHoldsNoMemory() {
        var framer = LineFramer(limit: 512)
        for _ in 0..<1000 {
            framer.append(contentsOf: [UInt8](repeating: 65, count: 1000))
            #expect(framer.next() == nil)
            #expect(framer.isDropping)
            #expect(framer.pendingCount == 1)
        }
        framer.append(contentsOf: Array("\nNOOP\n".utf8))
        #expect(framer.next() == .tooLong)
        #expect(framer.next() == .line(Array("NOOP".utf8)))
        #expect(framer.next() == nil)
        #expect(framer.pendingCount == 0)
    }

    /// AUTH is followed by TLS only where nothing else is here.
    @Test func countsWhatWasNotReturned() {
        var framer = LineFramer(limit: 20)
        #expect(framer.pendingCount == 0)
        framer.append(contentsOf: Array("AUTH TLS\r\nUSER".utf8))
        #expect(framer.next() != nil)
        #expect(framer.pendingCount == 4)
        #expect(framer.next() == nil)
        #expect(framer.pendingCount == 4)
    }

    @Test func theLimitMayChangeBetweenLines() {
        var framer = LineFramer(limit: 4)
        framer.append(contentsOf: Array("12345\n".utf8))
        #expect(framer.next() == .tooLong)
        framer.limit = 5
        framer.append(contentsOf: Array("12345\n".utf8))
        #expect(framer.next() == .line(Array("12345".utf8)))
    }

    /// Many short lines that arrive at once cost one pass.
    @Test func isLinear() {
        var framer = LineFramer(limit: 100)
        framer.append(contentsOf: Array(String(repeating: "NOOP\r\n", count: 50_000).utf8))
        var count = 0
        while framer.next() != nil { count += 1 }
        #expect(count == 50_000)
    }
}
