import FTPProtocol
import Wire

@testable import FTPSession

/// A whole session, written as a transcript: whatever the lines say, the session keeps its promises (`Watch`), and its client
/// gets well-formed replies.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzSessions(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: data, count: count))
    guard let first = input.first else { return 0 }
    var dice = Dice(seed: UInt64(first))
    var stage = Stage(policy: SessionPolicy.random(&dice), facts: Stage.facts)
    // A mutated PASS is no PASS, so its argument is no secret.
    stage.watch.knowsSecrets = false
    for line in input.dropFirst().split(separator: 10) { perform(Array(line), on: &stage) }
    promise(stage.watch.problems.isEmpty, "\(stage.watch.problems)")
    return 0
}

private func perform(_ line: [UInt8], on stage: inout Stage) {
    let text = line.dropFirst(3)
    switch line.prefix(3) {
    case [67, 58, 32]: stage.client(text + [13, 10])
    case [66, 58, 32]: stage.backend(text + [13, 10])
    // Without their ends: pieces of lines.
    case [67, 43, 32]: stage.client(Array(text))
    case [66, 43, 32]: stage.backend(Array(text))
    default:
        guard line.starts(with: [42, 32]) else { return }
        // What is no event is nothing.
        if let event = try? Script.event(String(decoding: line.dropFirst(2), as: UTF8.self)) { stage.handle(event) }
    }
}
