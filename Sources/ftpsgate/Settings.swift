import System

/// What the operator asked for, as texts: the command line wins over the environment, and that over the file. A list is taken
/// whole from one of them.
struct Settings {
    /// Where a text came from, as a message names it.
    enum Source: Equatable {
        case commandLine
        case environment
        case file(String, line: Int)
    }

    struct Setting {
        var texts: [String]
        var source: Source
    }

    private(set) var values: [String: Setting] = [:]
    /// What is wrong already, before anything is judged.
    private(set) var problems: [ConfigurationProblem] = []
    /// Names in the environment that look like settings and are none.
    private(set) var ignored: [String] = []

    /// - Parameter read: reads the file that `--config` names.
    init(
        given: GivenFlags, environment: [String: String],
        read: (String) -> Result<String, SystemFailure> = { TextFile.read($0) }
    ) {
        takeEnvironment(environment)
        if let file = given.texts["config"]?.last ?? values["config"]?.texts.last {
            takeFile(file, read)
        }
        for (name, texts) in given.texts { values[name] = Setting(texts: texts, source: .commandLine) }
    }

    private mutating func takeEnvironment(_ environment: [String: String]) {
        for (variable, text) in environment where variable.hasPrefix("FTPSGATE_") {
            let name = variable.dropFirst("FTPSGATE_".count).lowercased().replacing("_", with: "-")
            if FlagNames.all.contains(name) {
                // An empty variable is how templates leave a setting out.
                if !text.isEmpty { values[name] = Setting(texts: [text], source: .environment) }
            } else if !Self.isFromOrchestrator(name) {
                ignored.append(variable)
            }
        }
        ignored.sort()
    }

    /// Kubernetes and Docker links describe a service called ftpsgate by variables of this form.
    private static func isFromOrchestrator(_ name: String) -> Bool {
        name == "port" || name.hasPrefix("port-") || name.hasPrefix("service-") || name == "name" || name.hasPrefix("env-")
    }

    private mutating func takeFile(_ path: String, _ read: (String) -> Result<String, SystemFailure>) {
        let text: String
        switch read(path) {
        case .success(let content): text = content
        case .failure(let failure):
            problems.append(
                ConfigurationProblem("--config", path, "it cannot be read (\(failure))", "name a file that this user can read"))
            return
        }
        let names = FlagNames.all.subtracting(["config"])
        var found: [String: Setting] = [:]
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let words = line.trimmed
            if words.isEmpty || words.hasPrefix("#") { continue }
            let name = words.prefix { !$0.isWhitespace && $0 != "=" }
            let value = words.dropFirst(name.count).trimmed
            let source = Source.file(path, line: index + 1)
            guard names.contains(String(name)) else {
                problems.append(
                    ConfigurationProblem(
                        source.describe(String(name)), String(value), "there is no such setting", Self.advice(String(name), names)
                    ))
                continue
            }
            if value.isEmpty, !FlagNames.switches.contains(String(name)) {
                problems.append(
                    ConfigurationProblem(source.describe(String(name)), "", "it has no value", "write: \(name) VALUE"))
                continue
            }
            let text = value.isEmpty ? "true" : String(value)
            found[String(name), default: Setting(texts: [], source: source)].texts.append(text)
        }
        values.merge(found) { environment, _ in environment }
    }

    /// The nearest name, where one is near.
    static func advice(_ name: String, _ names: Set<String>) -> String {
        let near = names.map { ($0, distance(name, $0)) }.min { $0.1 == $1.1 ? $0.0 < $1.0 : $0.1 < $1.1 }
        if let near, near.1 <= 3 { return "perhaps you mean \(near.0)" }
        return "see ftpsgate --help for all names, which stand here without their dashes"
    }

    private static func distance(_ a: String, _ b: String) -> Int {
        let (a, b) = (Array(a), Array(b))
        var row = Array(0...b.count)
        for (i, left) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, right) in b.enumerated() {
                (row[j + 1], diagonal) = (min(row[j] + 1, row[j + 1] + 1, diagonal + (left == right ? 0 : 1)), row[j + 1])
            }
        }
        return row[b.count]
    }
}

extension Settings.Source {
    /// "--listen", "FTPSGATE_LISTEN", "line 3 of FILE, listen".
    func describe(_ name: String) -> String {
        switch self {
        case .commandLine: "--\(name)"
        case .environment: "FTPSGATE_\(name.uppercased().replacing("-", with: "_"))"
        case .file(let path, let line): "\(path) line \(line), \(name)"
        }
    }
}

extension StringProtocol {
    /// Without blanks around it.
    var trimmed: SubSequence {
        let start = firstIndex { !$0.isWhitespace } ?? endIndex
        let end = lastIndex { !$0.isWhitespace }.map { index(after: $0) } ?? start
        return self[start..<end]
    }
}
