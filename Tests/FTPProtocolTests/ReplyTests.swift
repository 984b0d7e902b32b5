import FTPProtocol
import Testing
import Wire

struct ReplyTests {
    @Test(arguments: [
        (150, true, false, false, false), (226, false, true, false, false), (331, false, false, true, false),
        (426, false, false, false, true),
        (530, false, false, false, true),
    ])
    func theFirstDigitSaysWhatItMeans(code: Int, preliminary: Bool, positive: Bool, intermediate: Bool, negative: Bool) {
        let reply = Reply(code, "x")
        #expect(reply.isPreliminary == preliminary && reply.isFinal == !preliminary)
        #expect(reply.isPositiveCompletion == positive)
        #expect(reply.isIntermediate == intermediate)
        #expect(reply.isNegative == negative)
    }

    @Test func splitsIntoLines() {
        let reply = Reply(211, first: "a", between: ["", " b"], last: "c")
        #expect(reply.lines.map { String(decoding: $0, as: UTF8.self) } == ["211-a", "", " b", "211 c"])
        #expect(reply.text == "a")
        #expect(Reply(code: 200, bytes: Array("200\r\n".utf8)).text == "")
    }

    /// What others say within our replies must not make lines of its own, nor leave ASCII.
    @Test func othersTextsStayWithinOneLineOfASCII() {
        let hostile = "x\r\n230 Logged in\u{1b}[2J\u{e9}\0"
        for reply in [Reply.backendRefused(hostile), .backendUnavailable(hostile), .dataHandshakeFailed(hostile)] {
            #expect(reply.lines.count == 1)
            #expect(reply.bytes.dropLast(2).allSatisfy { (32...126).contains($0) })
            #expect(reply.bytes.suffix(2) == [13, 10])
        }
    }
}
