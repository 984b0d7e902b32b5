/// What servers may take an argument for. A rule of the operator's must hold whichever way the backend reads it.
extension Command {
    /// The argument as it came, and then as servers are known to read it: without Telnet commands in it, without blanks around
    /// it, and with one where several stand.
    public var readings: [String] {
        var readings = [argumentText]
        let plain = Telnet.stripEverywhere(argument)
        let words = plain.split(whereSeparator: { $0 == UInt8(ascii: " ") || (9...13).contains($0) })
        add(plain, to: &readings)
        add(plain.trimmingBlanks, to: &readings)
        add(Array(words.joined(separator: [UInt8(ascii: " ")]))[...], to: &readings)
        return readings
    }

    /// The argument as a path without detours: "/pub/./x//../y" is "/pub/y".
    public var directPath: String {
        String(decoding: Self.withoutDetours(Telnet.stripEverywhere(argument).trimmingBlanks), as: UTF8.self)
    }

    /// Whether the argument climbs out of a folder: where a path leads to then, its text does not tell.
    public var climbs: Bool {
        Telnet.stripEverywhere(argument).split(whereSeparator: Self.isSeparator).contains {
            $0.trimmingBlanks.elementsEqual(Self.parent)
        }
    }

    /// "MDTM 20200101000000 file" sets the file's time (vsftpd, ProFTPD, Pure-FTPd), where RFC 3659 only asks for it.
    var setsTime: Bool {
        let text = Telnet.stripEverywhere(argument).trimmingBlanks
        let end = text.firstIndex { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") } ?? text.endIndex
        return end < text.endIndex && text[..<end].count >= 14 && text.prefix(14).allSatisfy { (48...57).contains($0) }
    }

    private func add(_ reading: ArraySlice<UInt8>, to readings: inout [String]) {
        let text = String(decoding: reading, as: UTF8.self)
        if !readings.contains(text) { readings.append(text) }
    }

    private static func withoutDetours(_ path: ArraySlice<UInt8>) -> [UInt8] {
        guard path.contains(where: isSeparator) else { return Array(path) }
        var folders: [ArraySlice<UInt8>] = []
        for part in path.split(whereSeparator: isSeparator) where !part.elementsEqual([UInt8(ascii: ".")]) {
            if part.elementsEqual(parent), let last = folders.last, !last.elementsEqual(parent) {
                folders.removeLast()
            } else {
                folders.append(part)
            }
        }
        let slash = [UInt8(ascii: "/")]
        return (path.first.map(isSeparator) == true ? slash : []) + Array(folders.joined(separator: slash))
    }

    private static let parent: [UInt8] = Array("..".utf8)

    /// Servers on Windows take both.
    private static func isSeparator(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\") }
}
