/// Turns settings' texts into values, and collects everything that is wrong with them.
struct SettingsReader {
    let settings: Settings
    private(set) var problems: [ConfigurationProblem]

    init(_ settings: Settings) {
        self.settings = settings
        problems = settings.problems
    }

    func has(_ name: String) -> Bool { settings.values[name] != nil }

    mutating func report(_ name: String, _ problem: String, _ remedy: String, value: String? = nil) {
        let setting = settings.values[name]
        problems.append(
            ConfigurationProblem(
                (setting?.source ?? .commandLine).describe(name), value ?? setting?.texts.joined(separator: " ") ?? "", problem,
                remedy))
    }

    /// The last text wins; nil where there is none, or a wrong one, which is noted.
    /// - Parameter expected: goes on after "write".
    mutating func one<Value>(_ name: String, write expected: String, _ parse: (String) -> Value?) -> Value? {
        guard let text = settings.values[name]?.texts.last else { return nil }
        guard let value = parse(text) else {
            report(name, "not a value that it can have", "write \(expected)", value: text)
            return nil
        }
        return value
    }

    /// - Parameter separators: what may stand between several in one text, besides blanks where it came from the environment.
    mutating func list<Value>(
        _ name: String, write expected: String, separatedByCommas: Bool = false, _ parse: (String) -> Value?
    ) -> [Value] {
        items(name, separatedByCommas: separatedByCommas).compactMap { text in
            guard let value = parse(text) else {
                report(name, "not a value that it can have", "write \(expected)", value: text)
                return nil
            }
            return value
        }
    }

    /// The texts one by one.
    func items(_ name: String, separatedByCommas: Bool = false) -> [String] {
        guard let setting = settings.values[name] else { return [] }
        return setting.texts.flatMap { text in
            text.split { letter in
                (setting.source != .commandLine && letter.isWhitespace)
                    || (separatedByCommas && (letter == "," || letter.isWhitespace))
            }
        }.map(String.init)
    }

    /// One of a type's named cases.
    mutating func choice<Choice: RawRepresentable & CaseIterable>(_ name: String, _: Choice.Type) -> Choice?
    where Choice.RawValue == String {
        let all = Choice.allCases.map(\.rawValue)
        return one(name, write: "one of \(all.joined(separator: ", "))") { Choice(rawValue: $0) }
    }

    mutating func yesOrNo(_ name: String) -> Bool? {
        one(name, write: "true or false") { text in
            switch text.lowercased() {
            case "true", "yes", "on", "1": true
            case "false", "no", "off", "0": false
            default: nil
            }
        }
    }

    mutating func number(_ name: String, in range: ClosedRange<Int>) -> Int? {
        one(name, write: "a number from \(range.lowerBound) to \(range.upperBound)") { text in
            Int(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    mutating func size(_ name: String) -> Int? {
        one(name, write: "a number of bytes, such as 65536, 64KiB, 1MiB or 64GiB") { SizeText.parse($0) }
    }

    mutating func size(_ name: String, in range: ClosedRange<Int>) -> Int? {
        one(name, write: "a number of bytes from \(range.lowerBound) to \(range.upperBound), such as 512 or 64KiB") { text in
            SizeText.parse(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    mutating func duration(_ name: String) -> Duration? {
        one(name, write: "a duration of at most 365 days, such as 500ms, 30s, 5m or 24h") { DurationText.parse($0) }
    }
}

/// "0", "65536", "64KiB", "1MiB", "64GiB".
enum SizeText {
    static func parse(_ text: String) -> Int? {
        for (unit, shift) in [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("", 0)] where text.hasSuffix(unit) {
            let digits = text.dropLast(unit.count)
            guard (1...18).contains(digits.utf8.count), digits.utf8.allSatisfy({ (48...57).contains($0) }),
                let count = Int(digits),
                count <= Int.max >> (shift + 1)
            else { return nil }
            return count << shift
        }
        return nil
    }
}

/// "500ms", "30s", "5m", "24h", and "0".
enum DurationText {
    static func parse(_ text: String) -> Duration? {
        if text == "0" { return .zero }
        for (unit, length) in units where text.hasSuffix(unit) {
            let digits = text.dropLast(unit.count)
            guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }), let count = Int(digits) else { return nil }
            let limit = Int(Duration.seconds(365 * 86_400) / length)
            return count <= limit ? length * count : nil
        }
        return nil
    }

    /// "ms" before "s".
    private static let units: [(String, Duration)] = [
        ("ms", .milliseconds(1)), ("s", .seconds(1)), ("m", .seconds(60)), ("h", .seconds(3600)), ("d", .seconds(86_400)),
    ]
}
