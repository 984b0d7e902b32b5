/// The few Telnet commands that FTP clients send (RFC 959 section 4.1.3, RFC 854).
enum Telnet {
    private static let interpretAsCommand: UInt8 = 255
    /// DO, DONT, WILL, WONT: an option follows.
    private static let negotiations: ClosedRange<UInt8> = 251...254
    private static let commands: ClosedRange<UInt8> = 240...250
    private static let dataMark: UInt8 = 242

    /// Takes commands out of the beginning of a line, up to the end of the verb: `IAC IP IAC DM ABOR` is how clients abort.
    /// Arguments stay as they are, where a doubled 255 belongs to a name.
    static func strip(_ line: [UInt8]) -> [UInt8] {
        guard line.contains(interpretAsCommand) || line.first == dataMark else { return line }
        var verb: [UInt8] = []
        var index = 0
        while index < line.count, line[index] != UInt8(ascii: " ") {
            let next = index + 1 < line.count ? line[index + 1] : 0
            if line[index] == interpretAsCommand, negotiations.contains(next) {
                index += 3
            } else if line[index] == interpretAsCommand, commands.contains(next) {
                index += 2
            } else if line[index] == dataMark, verb.isEmpty {
                // DM alone: the urgent byte, where the IAC before it went out of line.
                index += 1
            } else {
                // 255 twice stands for one, and is two bytes on: the second begins no command.
                let count = line[index] == interpretAsCommand && next == interpretAsCommand ? 2 : 1
                verb += line[index..<index + count]
                index += count
            }
        }
        return verb + line[min(index, line.count)...]
    }
    /// As servers read a line that follow RFC 959 to the letter: no commands anywhere, and 255 twice is one.
    static func stripEverywhere(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard text.contains(interpretAsCommand) else { return text }
        var plain: [UInt8] = []
        var index = text.startIndex
        while index < text.endIndex {
            let next = index + 1 < text.endIndex ? text[index + 1] : 0
            if text[index] == interpretAsCommand, negotiations.contains(next) {
                index += 3
            } else if text[index] == interpretAsCommand, commands.contains(next) {
                index += 2
            } else {
                plain.append(text[index])
                index += text[index] == interpretAsCommand && next == interpretAsCommand ? 2 : 1
            }
        }
        return plain[...]
    }
}
