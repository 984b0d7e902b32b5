/// What strangers say, made harmless: no new line, no terminal sequence, no text that runs backwards.
enum Escaping {
    /// As it is where it is one plain word; else in quotes.
    static func appendText(_ value: String, to line: inout Line) {
        let isPlain = !value.isEmpty && value.utf8.allSatisfy { (33...126).contains($0) && $0 != 34 && $0 != 92 && $0 != 61 }
        guard !isPlain else {
            line += value
            return
        }
        appendQuoted(value, to: &line) { "\\u{\(String($0.value, radix: 16))}" }
    }

    /// With its quotes (RFC 8259 section 7).
    static func appendJSON(_ value: String, to line: inout Line) {
        appendQuoted(value, to: &line) { scalar in
            let digits = String(scalar.value, radix: 16)
            return "\\u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
        }
    }

    private static func appendQuoted(_ value: String, to line: inout Line, code: (Unicode.Scalar) -> String) {
        line += "\""
        defer { line += "\"" }
        guard !value.utf8.allSatisfy({ (32...126).contains($0) && $0 != 34 && $0 != 92 }) else {
            line += value
            return
        }
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": line += "\\\""
            case "\\": line += "\\\\"
            case "\n": line += "\\n"
            case "\r": line += "\\r"
            case "\t": line += "\\t"
            case _ where isHarmful(scalar): line += code(scalar)
            default: line += String(scalar)
            }
        }
    }

    /// C0 and C1 controls, DEL, line separators, and marks that turn the direction of writing. All lie within 16 bits.
    private static func isHarmful(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<32, 127..<160, 0x200e, 0x200f, 0x2028...0x202e, 0x2066...0x2069: true
        default: false
        }
    }
}
