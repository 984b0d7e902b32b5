extension String {
    /// Upper case for ASCII letters alone: what FTP means by "in any case".
    public var uppercasedASCII: String {
        String(decoding: utf8.map { (97...122).contains($0) ? $0 - 32 : $0 }, as: UTF8.self)
    }
}
