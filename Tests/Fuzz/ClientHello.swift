import Wire

/// The first bytes of a data connection, as they come, and as the body of a ClientHello in records of some size, so that the
/// extensions are reached without guessing lengths.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzClientHello(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: data, count: count))
    judge(input)
    guard let size = input.first else { return 0 }
    let body = input.dropFirst()
    let message = [1, UInt8(body.count >> 16 & 255), UInt8(body.count >> 8 & 255), UInt8(body.count & 255)] + body
    var records: [UInt8] = []
    var rest = message[...]
    while !rest.isEmpty {
        let piece = rest.prefix(Int(size) + 1)
        rest = rest.dropFirst(piece.count)
        records += [22, 3, 1, UInt8(piece.count >> 8), UInt8(piece.count & 255)] + piece
    }
    judge(records)
    return 0
}

private func judge(_ bytes: [UInt8]) {
    let reading = ClientHello.read(bytes)
    switch reading {
    case .whole(let hello):
        promise(hello.sessionID.count <= 32)
        promise(hello.tickets.count <= 9 && hello.tickets.allSatisfy { $0.count <= bytes.count })
        // What follows changes nothing, and what is there decides: half of it is not enough to say something else.
        promise(ClientHello.read(bytes + [23, 3, 3, 0, 1, 0]) == reading)
        promise([.incomplete, reading].contains(ClientHello.read(Array(bytes.dropLast()))))
    case .incomplete: promise(bytes.count < ClientHello.limit)
    case .notTLS, .unreadable: promise(ClientHello.read(bytes + [0]) == reading)
    }
}
