extension String {
    /// Upper case for ASCII letters alone: what FTP means by "in any case".
    public var uppercasedASCII: String {
        String(decoding: utf8.map { (97...122).contains($0) ? $0 - 32 : $0 }, as: UTF8.self)
    }
}

extension ArraySlice<UInt8> {
    /// Without blanks and tabs at either end.
    var trimmingBlanks: Self {
        let isBlank: (UInt8) -> Bool = { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
        guard let first = firstIndex(where: { !isBlank($0) }), let last = lastIndex(where: { !isBlank($0) }) else { return [] }
        return self[first...last]
    }
}

extension [UInt8] {
    /// Zeros in place, where nobody else holds these bytes.
    mutating func overwrite(_ range: Range<Int>) {
        for index in range { self[index] = 0 }
    }
}
