import Testing

@testable import TLS

@Suite struct RecordBoundaryTests {
    static let records: [UInt8] = [23, 3, 3, 0, 2, 9, 9, 21, 3, 3, 1, 0] + [UInt8](repeating: 7, count: 256) + [23, 3, 3, 0, 0]
    /// Offsets at which nothing of a record is outstanding.
    static let boundaries: Set<Int> = [0, 7, 268, 273]

    @Test(arguments: [1, 2, 3, 5, 7, 64, 1000])
    func itIsHereExactlyBetweenRecords(chunk: Int) {
        var boundary = RecordBoundary()
        var offset = 0
        #expect(boundary.isHere)
        while offset < Self.records.count {
            let part = Array(Self.records[offset..<min(offset + chunk, Self.records.count)])
            part.withUnsafeBytes { boundary.pass($0) }
            offset += part.count
            #expect(boundary.isHere == Self.boundaries.contains(offset), "at \(offset)")
        }
    }
}
