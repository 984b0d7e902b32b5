import FTPProtocol

/// The first byte says in which pieces the rest arrives; the others are what a client sends.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzLines(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: data, count: count))
    guard let size = input.first, size > 0 else { return 0 }
    let text = Array(input.dropFirst())
    let limit = 64
    let lines = framed(text, limit: limit, pieces: Int(size))
    promise(lines == expected(text, limit: limit), "the framer depends on how bytes arrive: \(lines)")
    for case .line(let line) in lines { check(line) }
    return 0
}

private func framed(_ text: [UInt8], limit: Int, pieces size: Int) -> [LineFramer.Line] {
    var framer = LineFramer(limit: limit)
    var rest = text[...]
    var lines: [LineFramer.Line] = []
    while !rest.isEmpty {
        framer.append(contentsOf: rest.prefix(size))
        rest = rest.dropFirst(size)
        while let line = framer.next() { lines.append(line) }
        promise(framer.pendingCount <= limit + 1, "the framer keeps \(framer.pendingCount) bytes")
    }
    return lines
}

/// What a line is, said in the simplest way.
private func expected(_ text: [UInt8], limit: Int) -> [LineFramer.Line] {
    text.split(separator: 10, omittingEmptySubsequences: false).dropLast().map { line in
        let line = line.last == 13 ? line.dropLast() : line
        return line.count > limit ? .tooLong : .line(Array(line))
    }
}

private func check(_ line: [UInt8]) {
    switch Command.parse(line) {
    case .command(let command):
        promise(!command.line.contains { [0, 10, 13].contains($0) }, "the backend would get more than one line")
        promise(!command.verb.name.isEmpty)
        promise(command.verb.name.utf8.allSatisfy { (33...126).contains($0) })
        promise(command.readings.first == command.argumentText)
        promise(command.readings.count <= 4 && !command.directPath.contains("//"))
        _ = CommandTable.effect(of: command)
        promise(command.line.count <= line.count)
        promise(command.line.suffix(command.argument.count) == command.argument)
        promise(Command.parse(command.line) == .command(command), "what is sent is not what was judged")
        _ = command.description
        if command.verb == .pass || command.verb == .acct { promise(command.description == "\(command.verb) <secret>") }
        _ = CommandTable.row(for: command.verb)
    case .illegalCharacter:
        let isVerbPrintable = line.prefix { $0 != 32 }.allSatisfy { (33...126).contains($0) }
        promise(line.contains(0) || line.contains(13) || !isVerbPrintable)
    case .empty: promise(line.isEmpty || line.contains(32))
    case .telnetOnly: promise(line.contains(255) || line.contains(242))
    }
}
