/// One mistake of the operator's: where, what, why not, and what to do.
struct ConfigurationProblem: Error, Equatable, CustomStringConvertible {
    /// "--listen", or where else the setting stands.
    let setting: String
    let value: String
    let problem: String
    let remedy: String

    init(_ setting: String, _ value: String, _ problem: String, _ remedy: String) {
        self.setting = setting
        self.value = value
        self.problem = problem
        self.remedy = remedy
    }

    /// A sentence of another layer, which says what to do by itself.
    init(_ setting: String, _ value: String, sentence: String) {
        self.init(setting, value, sentence.hasSuffix(".") ? String(sentence.dropLast()) : sentence, "")
    }

    var description: String {
        "\(setting)\(value.isEmpty ? "" : " \(value)"): \(problem)\(remedy.isEmpty ? "" : "; \(remedy)")."
    }
}
