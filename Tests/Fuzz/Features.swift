import FTPProtocol

/// What a backend sends in answer to FEAT; the client must get one reply, with our features once and none of the backend's TLS.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzFeatures(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: data, count: count))
    var parser = ReplyParser()
    parser.append(contentsOf: input + [10])
    while let piece = parser.next() {
        guard case .reply(let reply) = piece else { continue }
        check(FeatureList.merge(reply) { $0.first == "SIZE" })
    }
    return 0
}

private func check(_ merged: Reply) {
    var parser = ReplyParser()
    parser.append(contentsOf: merged.bytes)
    promise(parser.next() == .reply(merged) && merged.code == 211, "not one 211: \(merged)")
    promise(parser.next() == nil && !parser.isInsideReply)
    let lines = merged.lines.dropFirst().dropLast().map { String(decoding: $0, as: UTF8.self) }
    for ours in [" AUTH TLS", " PBSZ", " PROT"] { promise(lines.filter { $0 == ours }.count == 1, "not once: \(ours)") }
    let words = lines.compactMap { $0.uppercasedASCII.split(separator: " ").first.map(String.init) }
    for word in ["CCC", "SSCN", "CPSV", "LPSV", "MODE", "SIZE"] { promise(!words.contains(word), "shown: \(word)") }
    for word in ["AUTH", "PBSZ", "PROT"] { promise(words.filter { $0 == word }.count == 1, "shown twice: \(word)") }
}
