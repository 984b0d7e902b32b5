import FTPProtocol
import Testing

/// Everything that the parser makes of `text`, which arrives in pieces of `size` bytes, parts of replies joined to wholes.
private func pieces(_ text: String, limits: ReplyParser.Limits = .init(), size: Int = 1000) -> [ReplyParser.Piece] {
    var parser = ReplyParser(limits: limits)
    var rest = Array(text.utf8)[...]
    var pieces: [ReplyParser.Piece] = []
    var part: [UInt8] = []
    while !rest.isEmpty {
        parser.append(contentsOf: rest.prefix(size))
        rest = rest.dropFirst(size)
        while let piece = parser.next() {
            if case .reply(let reply) = piece {
                pieces.append(.reply(Reply(code: reply.code, bytes: part + reply.bytes)))
                part = []
            } else {
                pieces.append(piece)
            }
        }
        if let more = parser.takePart() { part += more.bytes }
    }
    return pieces
}

private func reply(_ code: Int, _ bytes: String) -> ReplyParser.Piece { .reply(Reply(code: code, bytes: Array(bytes.utf8))) }

struct ReplyParserTests {
    @Test(arguments: [1, 2, 3, 5, 1000])
    func readsRepliesHoweverTheyArrive(size: Int) {
        let text = "220 Hi\r\n331-Say\n331 more\r\n200\r\n"
        #expect(
            pieces(text, size: size) == [reply(220, "220 Hi\r\n"), reply(331, "331-Say\r\n331 more\r\n"), reply(200, "200\r\n")])
    }

    /// RFC 959 section 4.2: only the same code with a blank ends it.
    @Test(arguments: [1, 1000])
    func innerLinesMayLookLikeAnything(size: Int) {
        let text = """
            230-Welcome
            226 not the end
            230-nor this
             230 nor this, it is indented
            2300 nor this
            230x
            421 Service going down

            331
            230 The end
            """.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n") + "\r\n"
        #expect(pieces(text + "200 Next\r\n", size: size) == [reply(230, text), reply(200, "200 Next\r\n")])
    }

    @Test func theCodeAloneEndsAReplyToo() {
        #expect(pieces("211-a\r\n b\r\n211\r\n") == [reply(211, "211-a\r\n b\r\n211\r\n")])
    }

    @Test func lineEndsBecomeCRLFAndNothingElseChanges() {
        let line: [UInt8] = Array("250-caf".utf8) + [0xe9, 0xff, 0x0d, 0x1b, 0x20, 0x00]
        var parser = ReplyParser()
        parser.append(contentsOf: line + [10] + Array("250 \t \n".utf8))
        #expect(parser.next() == .reply(Reply(code: 250, bytes: line + [13, 10] + Array("250 \t \r\n".utf8))))
    }

    @Test(arguments: [
        "", " ", "2", "22", "220x", "2200 a", "abc", " 220 a", "000 a", "099 a", "600 a", "999 a", "2a0 a", "220_a", "-220 a",
        "２２０ a", "631 safe",
    ])
    func whatIsNoReplyIsSaidToBeNone(line: String) {
        #expect(pieces("\(line)\r\n200 ok\r\n") == [.notAReply(Array(line.utf8)), reply(200, "200 ok\r\n")])
    }

    @Test(arguments: [("100 a", 100), ("199 a", 199), ("500 a", 500), ("599-a\n599 b", 599), ("559", 559)])
    func codesRunFrom100To599(text: String, code: Int) {
        guard case .reply(let reply) = pieces(text + "\n").first else {
            Issue.record("not a reply: \(text)")
            return
        }
        #expect(reply.code == code)
    }

    @Test func aLineThatNeverEndsIsGivenUpAtTheBound() {
        var parser = ReplyParser()
        var received = 0
        while parser.next() == nil, received < 1_000_000 {
            parser.append(contentsOf: [UInt8](repeating: 65, count: 1000))
            received += 1000
        }
        #expect((65_537...67_000).contains(received))
        #expect(parser.next() == nil, "nothing follows")
    }

    @Test(arguments: [1, 7, 1000])
    func boundsAreExact(size: Int) {
        var limits = ReplyParser.Limits()
        limits.lineBytes = 10
        #expect(pieces("200 567890\r\n", limits: limits, size: size) == [reply(200, "200 567890\r\n")])
        #expect(pieces("200 5678901\r\n200 x\r\n", limits: limits, size: size) == [.tooLong])
        limits.lines = 3
        #expect(pieces("200-1\r\n2\r\n200 3\r\n", limits: limits, size: size) == [reply(200, "200-1\r\n2\r\n200 3\r\n")])
        #expect(pieces("200-1\r\n2\r\n3\r\n200 4\r\n", limits: limits, size: size) == [.tooLong])
        limits.replyBytes = 20
        #expect(pieces("200-56789\r\n200 890\r\n", limits: limits, size: size) == [reply(200, "200-56789\r\n200 890\r\n")])
        #expect(pieces("200-56789\r\n200 8901\r\n", limits: limits, size: size) == [.tooLong])
    }

    @Test func anEndlessReplyIsStreamedUpToTheBoundAndThenGivenUp() {
        var parser = ReplyParser()
        let lines = Array(String(repeating: " and so on and so on\r\n", count: 100).utf8)
        parser.append(contentsOf: Array("211-Begin\r\n".utf8))
        var streamed = 0
        var held = 0
        while parser.next() == nil {
            if let part = parser.takePart() {
                #expect(part.code == 211)
                streamed += part.bytes.count
                held = max(held, part.bytes.count)
            }
            guard streamed < 2_000_000 else { break }
            parser.append(contentsOf: lines)
        }
        #expect(streamed <= 1_048_576)
        #expect(held < 10_000, "no more is held than came in one read")
        #expect(parser.next() == nil)
        #expect(parser.isInsideReply)
    }

    @Test func aPartHasWholeLinesAlone() {
        var parser = ReplyParser()
        parser.append(contentsOf: Array("211-a\r\n b\r\n c".utf8))
        #expect(parser.next() == nil)
        #expect(parser.takePart().map { String(decoding: $0.bytes, as: UTF8.self) } == "211-a\r\n b\r\n")
        #expect(parser.takePart() == nil)
        parser.append(contentsOf: Array("\r\n211 d\r\n".utf8))
        #expect(parser.next() == reply(211, " c\r\n211 d\r\n"))
        #expect(!parser.isInsideReply)
    }
}
