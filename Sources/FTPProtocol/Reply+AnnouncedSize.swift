extension Reply {
    /// How many bytes a server means to send, in replies to RETR that say so: "(1048576 bytes)", as most servers write, or
    /// Pure-FTPd's "4096.0 kbytes to download". Nobody has to write that, and files grow: it is a hint.
    public var announcedSize: Int? {
        // The name of the file, which may look alike, stands in front.
        guard isPreliminary, let line = lines.last?.dropFirst(4) else { return nil }
        let words = line.split(whereSeparator: { " ()".utf8.contains($0) }).map { String(decoding: $0, as: UTF8.self) }
        for index in words.indices.dropFirst().reversed() {
            guard let factor = Self.units[words[index].lowercased()] else { continue }
            let digits = words[index - 1].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
            guard let whole = digits.first.flatMap({ Int($0) }), whole >= 0, whole < Int.max / factor - 1 else { continue }
            // Rounded up.
            return (whole + (digits.count > 1 ? 1 : 0)) * factor
        }
        return nil
    }

    private static let units = ["byte": 1, "bytes": 1, "kbytes": 1 << 10, "mbytes": 1 << 20, "gbytes": 1 << 30]
}
