public import Wire

/// Where a data connection goes, as PORT, EPRT, 227 and 229 write it (RFC 959 section 4.1.2, RFC 2428).
public enum DataAddress {
    /// "h1,h2,h3,h4,p1,p2", and nothing else.
    public static func parsePORT(_ argument: ArraySlice<UInt8>) -> SocketAddress? {
        guard let (address, end) = sixNumbers(argument, from: argument.startIndex), end == argument.endIndex else { return nil }
        return address
    }

    public enum EPRT: Equatable, Sendable {
        case address(SocketAddress)
        case unknownFamily
        case malformed
    }

    /// "|1|192.0.2.1|50000|" with any delimiter of ASCII 33 to 126.
    public static func parseEPRT(_ argument: ArraySlice<UInt8>) -> EPRT {
        guard let delimiter = argument.first, (33...126).contains(delimiter), argument.last == delimiter else {
            return .malformed
        }
        let parts = argument.split(separator: delimiter, omittingEmptySubsequences: false)
        guard parts.count == 5, parts[0].isEmpty, parts[4].isEmpty else { return .malformed }
        guard let family = digits(parts[1], maximum: 65_535) else { return .malformed }
        guard family == 1 || family == 2 else { return .unknownFamily }
        guard let ip = IPAddress(String(decoding: parts[2], as: UTF8.self)), ip.family == (family == 1 ? .v4 : .v6) else {
            return .malformed
        }
        guard let port = digits(parts[3], maximum: 65_535), port > 0 else { return .malformed }
        return .address(SocketAddress(ip: ip, port: UInt16(port)))
    }

    public enum EPSV: Equatable, Sendable {
        case none
        case family(IPAddress.Family)
        case all
        case unknownFamily
        case malformed
    }

    public static func parseEPSV(_ argument: ArraySlice<UInt8>) -> EPSV {
        if argument.isEmpty { return .none }
        if String(decoding: argument, as: UTF8.self).uppercasedASCII == "ALL" { return .all }
        guard let family = digits(argument, maximum: 65_535) else { return .malformed }
        return switch family {
        case 1: .family(.v4)
        case 2: .family(.v6)
        default: .unknownFamily
        }
    }

    /// The first complete "h1,h2,h3,h4,p1,p2" behind the code, with or without parentheses; port 0 is none.
    public static func parse227(_ reply: Reply) -> SocketAddress? {
        let bytes = reply.bytes[...]
        var index = 0
        var isBehindDigit = false
        while index < bytes.count {
            if index == 0 || bytes[index - 1] == UInt8(ascii: "\n"), beginsWithCode(bytes[index...], reply.code) {
                index += 3
                isBehindDigit = false
                continue
            }
            let isDigit = isDigit(bytes[index])
            if isDigit, !isBehindDigit, let (address, _) = sixNumbers(bytes, from: index) { return address }
            isBehindDigit = isDigit
            index += 1
        }
        return nil
    }

    private static func beginsWithCode(_ line: ArraySlice<UInt8>, _ code: Int) -> Bool {
        let start = line.startIndex
        guard line.count >= 3 else { return false }
        return line[start] == 48 + UInt8(truncatingIfNeeded: code / 100)
            && line[start + 1] == 48 + UInt8(truncatingIfNeeded: code / 10 % 10)
            && line[start + 2] == 48 + UInt8(truncatingIfNeeded: code % 10)
    }

    /// A delimiter thrice, the port, the delimiter: "(|||50000|)".
    public static func parse229(_ reply: Reply) -> UInt16? {
        texts(of: reply).lazy.compactMap(port229).first
    }

    private static func port229(_ line: ArraySlice<UInt8>) -> UInt16? {
        for start in line.indices.dropLast(4) {
            let delimiter = line[start]
            guard (33...126).contains(delimiter), !isDigit(delimiter) else { continue }
            guard line[start + 1] == delimiter, line[start + 2] == delimiter else { continue }
            let end = line[(start + 3)...].firstIndex { !isDigit($0) } ?? line.endIndex
            guard end < line.endIndex, line[end] == delimiter else { continue }
            guard let port = digits(line[(start + 3)..<end], maximum: 65_535), port > 0 else { continue }
            return UInt16(port)
        }
        return nil
    }

    public static func portArgument(_ address: SocketAddress) -> String {
        var text: [UInt8] = []
        appendSixNumbers(of: address, to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    fileprivate static func appendSixNumbers(of address: SocketAddress, to text: inout [UInt8]) {
        let numbers = UInt64(truncatingIfNeeded: address.ip.unmapped.low & 0xffff_ffff) << 16 | UInt64(address.port)
        for shift in stride(from: 40, through: 0, by: -8) {
            let number = UInt8(truncatingIfNeeded: numbers >> UInt64(shift))
            if number > 99 { text.append(48 + number / 100) }
            if number > 9 { text.append(48 + number / 10 % 10) }
            text.append(48 + number % 10)
            if shift > 0 { text.append(UInt8(ascii: ",")) }
        }
    }

    public static func eprtArgument(_ address: SocketAddress) -> String {
        "|\(address.ip.family == .v4 ? 1 : 2)|\(address.ip)|\(address.port)|"
    }

    /// What the lines say behind the code.
    private static func texts(of reply: Reply) -> [ArraySlice<UInt8>] {
        let code = Array("\(reply.code)".utf8)
        return reply.lines.map { $0.starts(with: code) ? $0.dropFirst(3) : $0[...] }
    }

    /// - Returns: nil when there are not six numbers of 0 to 255, or the port is 0.
    private static func sixNumbers(_ text: ArraySlice<UInt8>, from start: Int) -> (SocketAddress, end: Int)? {
        var numbers: UInt64 = 0
        var index = start
        for place in 0..<6 {
            var (number, digits): (UInt64, Int) = (0, 0)
            while index < text.endIndex, isDigit(text[index]), digits <= 5 {
                number = number * 10 + UInt64(text[index] - 48)
                digits += 1
                index += 1
            }
            guard (1...5).contains(digits), number <= 255 else { return nil }
            numbers = numbers << 8 | number
            if place < 5 {
                guard index < text.endIndex, text[index] == UInt8(ascii: ",") else { return nil }
                index += 1
            }
        }
        let port = UInt16(truncatingIfNeeded: numbers)
        guard port > 0 else { return nil }
        return (SocketAddress(ip: IPAddress(v4: UInt32(truncatingIfNeeded: numbers >> 16)), port: port), index)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }

    /// One to five digits and nothing else.
    private static func digits(_ text: ArraySlice<UInt8>, maximum: Int) -> Int? {
        guard (1...5).contains(text.count), text.allSatisfy(isDigit) else { return nil }
        let value = text.reduce(0) { $0 * 10 + Int($1 - 48) }
        return value <= maximum ? value : nil
    }
}

extension Reply {
    public static func enteringPassive(_ address: SocketAddress) -> Reply {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(64)
        bytes += "227 Entering Passive Mode (".utf8
        DataAddress.appendSixNumbers(of: address, to: &bytes)
        bytes += ").\r\n".utf8
        return Reply(code: 227, bytes: bytes)
    }

    public static func enteringExtendedPassive(port: UInt16) -> Reply {
        Reply(229, "Entering Extended Passive Mode (|||\(port)|)")
    }
}
