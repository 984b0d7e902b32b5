/// What stands on the command line, by the flag's name without its dashes; what does not stand there is left out.
struct GivenFlags: Sendable, Equatable {
    var texts: [String: [String]]
}

/// A command line of `serve`, `check` or `healthcheck` that says nothing unusual, read without ArgumentParser.
///
/// ArgumentParser has every flag of every command described to it before it reads the first word, which is half of all that is
/// done from the start of the process to its first client, and most of a health check. What is not plain, such as help,
/// mistakes and abbreviations, is none of these and left to it.
struct PlainCommandLine: Equatable {
    enum Command: String { case serve, check, healthcheck }

    let command: Command
    let given: GivenFlags

    /// - Parameter words: without the program's name.
    /// - Returns: nil where ArgumentParser has to look.
    init?(_ words: ArraySlice<String>) {
        var words = words
        let named = words.first.flatMap { Command(rawValue: $0) }
        if named != nil { words.removeFirst() }
        var texts: [String: [String]] = [:]
        while let word = words.popFirst() {
            guard word.utf8.starts(with: "--".utf8) else { return nil }
            let parts = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            if parts.count == 1, let (name, value) = Self.readSwitch(name) {
                // Twice is a mistake.
                guard texts.updateValue([value], forKey: name) == nil else { return nil }
                continue
            }
            guard let value = parts.count == 2 ? String(parts[1]) : words.popFirst(), !value.isEmpty,
                parts.count == 2 || value.utf8.first != UInt8(ascii: "-")
            else { return nil }
            if FlagNames.lists.contains(name) {
                texts[name, default: []].append(value)
            } else if FlagNames.values.contains(name) {
                texts[name] = [value]
            } else {
                return nil
            }
        }
        command = named ?? .serve
        given = GivenFlags(texts: texts)
    }

    private static func readSwitch(_ word: String) -> (name: String, value: String)? {
        if FlagNames.switches.contains(word) { return (word, "true") }
        let name = String(word.dropFirst("no-".count))
        return word.hasPrefix("no-") && FlagNames.switches.contains(name) ? (name, "false") : nil
    }

    func run() throws {
        switch command {
        case .serve: try ServeCommand.run(given)
        case .check: try CheckCommand.run(given)
        case .healthcheck: try HealthcheckCommand.run(given)
        }
    }
}
