/// Follows the records in a stream of bytes: a FIN between two of them is how a client without close_notify ends, one inside a
/// record is a cut (RFC 8446 section 5.1: five bytes of header, the last two the length).
struct RecordBoundary {
    private var headerCount = 0
    private var length = 0
    private var bodyLeft = 0
    /// Records that have begun.
    private(set) var count = 0

    var isHere: Bool { headerCount == 0 && bodyLeft == 0 }

    mutating func pass(_ bytes: UnsafeRawBufferPointer) {
        var index = 0
        while index < bytes.count {
            if bodyLeft > 0 {
                let count = min(bodyLeft, bytes.count - index)
                bodyLeft -= count
                index += count
                continue
            }
            if headerCount >= 3 { length = length << 8 | Int(bytes[index]) }
            headerCount += 1
            index += 1
            if headerCount == 5 {
                bodyLeft = length
                count += 1
                headerCount = 0
                length = 0
            }
        }
    }
}
