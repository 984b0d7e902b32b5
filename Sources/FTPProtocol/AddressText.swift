public import Wire

/// Finds addresses in texts that servers write for people, so that they can be replaced (`--hide-backend`).
public enum AddressText {
    /// The longest IPv6 address with a port behind it.
    private static let lengthLimit = 52

    /// Puts `substitute` in the place of every IPv4 and IPv6 address other than `kept`; a port behind one stays.
    public static func replace(in text: [UInt8], except kept: IPAddress, by substitute: String) -> [UInt8] {
        var shown: [UInt8] = []
        var rest = text[...]
        while let start = rest.firstIndex(where: isPartOfAddress) {
            shown += rest[..<start]
            let end = rest[start...].firstIndex { !isPartOfAddress($0) } ?? rest.endIndex
            let word = rest[start..<end]
            if let address = address(in: word, other: kept) {
                shown += word[..<address.lowerBound] + Array(substitute.utf8) + word[address.upperBound...]
            } else {
                shown += word
            }
            rest = rest[end...]
        }
        return shown + rest
    }

    /// A word of hexadecimal digits, dots and colons is an address where it is one less what punctuation and port stand
    /// around it.
    private static func address(in word: ArraySlice<UInt8>, other kept: IPAddress) -> Range<Int>? {
        let colon = UInt8(ascii: ":")
        // All punctuation, and yet an address.
        if word.elementsEqual([colon, colon]) { return kept == .anyV6 ? nil : word.indices }
        let isPunctuation: (UInt8) -> Bool = { $0 == UInt8(ascii: ".") || $0 == colon }
        let first = word.starts(with: [colon, colon]) ? word.startIndex : word.firstIndex { !isPunctuation($0) }
        guard let first, let last = word.lastIndex(where: { !isPunctuation($0) }), last - first < lengthLimit else { return nil }
        let withPort = word[first...last]
        let withoutPort = withPort[..<(withPort.lastIndex(of: colon) ?? first)]
        for candidate in [withPort, withoutPort] {
            guard let ip = IPAddress(String(decoding: candidate, as: UTF8.self)) else { continue }
            return ip.unmapped == kept.unmapped ? nil : candidate.indices
        }
        return nil
    }

    private static func isPartOfAddress(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"),
            UInt8(ascii: "."), UInt8(ascii: ":"):
            true
        default: false
        }
    }
}
