import FTPProtocol

/// The first byte says in which pieces the rest arrives; the others are what a backend sends.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzReplies(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: data, count: count))
    guard let size = input.first, size > 0 else { return 0 }
    let text = Array(input.dropFirst())
    let inPieces = parsed(text, pieces: Int(size))
    let atOnce = parsed(text, pieces: max(1, text.count))
    promise(inPieces == atOnce, "the parser depends on how bytes arrive: \(inPieces) \(atOnce)")
    for case .reply(let reply) in inPieces { check(reply) }
    return 0
}

private func parsed(_ text: [UInt8], pieces size: Int) -> [ReplyParser.Piece] {
    var limits = ReplyParser.Limits()
    limits.lineBytes = 48
    limits.replyBytes = 200
    limits.lines = 10
    var parser = ReplyParser(limits: limits)
    var rest = text[...]
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
            if piece == .tooLong { return pieces }
        }
        if let more = parser.takePart() { part += more.bytes }
        promise(part.count <= limits.replyBytes, "a reply of \(part.count) bytes is passed on")
    }
    return pieces
}

private func check(_ reply: Reply) {
    promise((100...599).contains(reply.code))
    promise(reply.bytes.suffix(2) == [13, 10])
    let lines = reply.lines
    let code = Array("\(reply.code)".utf8)
    promise(lines[0].starts(with: code) && lines[lines.count - 1].starts(with: code))
    // What the client gets is the same reply.
    var parser = ReplyParser()
    parser.append(contentsOf: reply.bytes)
    promise(parser.next() == .reply(reply))
    promise(parser.next() == nil && !parser.isInsideReply)
    _ = (reply.text, reply.description)
}
