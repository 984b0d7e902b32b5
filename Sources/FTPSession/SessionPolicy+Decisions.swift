import FTPProtocol

/// What the operator's lists and presets mean for one command.
extension SessionPolicy {
    /// A list that denies wins over one that allows, and each over the preset's doubts about verbs that nobody knows.
    func permits(_ command: Command, _ row: CommandTable.Row) -> Bool {
        if deniedCommands.contains(where: { $0.matches(command) }) { return false }
        let isNamed = allowedCommands.contains { $0.matches(command) }
        guard allowedCommands.isEmpty || row.isEssential || isNamed else { return false }
        switch row.effect {
        case .unknown: return access == .full || isNamed
        // STAT without an argument tells of the session, not of files.
        case .lists where command.verb == .stat && command.argument.isEmpty: return true
        default: return access.permits(row.effect)
        }
    }

    func permitsUser(_ name: String) -> Bool {
        if deniedUsers.contains(where: { wildcard($0, matches: name) }) { return false }
        return allowedUsers.isEmpty || allowedUsers.contains { wildcard($0, matches: name) }
    }

    /// Whether a feature line is left out, since its command would be refused.
    func hides(feature: String) -> Bool {
        // These name no command.
        if ["UTF8", "TVFS"].contains(feature) { return false }
        // MLST in FEAT promises MLSD as well (RFC 3659 section 7.8).
        let verbs: [Command.Verb] = feature == "MLST" ? [.mlst, .mlsd] : [Command.Verb(feature)]
        return verbs.contains { !permits(Command($0), CommandTable.row(for: $0)) }
    }

    /// Whether a certificate has this name; a leading "*." stands for one label.
    func serves(host: String) -> Bool {
        let host = host.uppercasedASCII
        return hostNames.contains { pattern in
            let pattern = pattern.uppercasedASCII
            guard pattern.hasPrefix("*.") else { return pattern == host }
            guard let dot = host.firstIndex(of: "."), dot != host.startIndex else { return false }
            return host[dot...] == pattern.dropFirst()
        }
    }
}

extension SessionPolicy.Access {
    fileprivate func permits(_ effect: CommandTable.Row.Effect) -> Bool {
        switch (self, effect) {
        case (.full, _), (_, .neutral): true
        case (.readOnly, .reads), (.readOnly, .lists): true
        case (.uploadOnly, .writes): true
        case (.listOnly, .lists): true
        default: false
        }
    }
}

extension SessionPolicy.CommandPattern {
    func matches(_ command: Command) -> Bool {
        guard verb == command.verb else { return false }
        guard let argument else { return true }
        return wildcard(argument, matches: command.argumentText)
    }
}

/// `*` stands for any text, `?` for one character; linear in both lengths but for the last `*`.
func wildcard(_ pattern: String, matches text: String) -> Bool {
    let pattern = Array(pattern.utf8)
    let text = Array(text.utf8)
    var p = 0
    var t = 0
    var star: (p: Int, t: Int)?
    while t < text.count {
        if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
            star = (p, t)
            p += 1
        } else if p < pattern.count, pattern[p] == UInt8(ascii: "?") || pattern[p] == text[t] {
            p += 1
            t += 1
        } else if let last = star {
            p = last.p + 1
            t = last.t + 1
            star = (last.p, t)
        } else {
            return false
        }
    }
    return pattern[p...].allSatisfy { $0 == UInt8(ascii: "*") }
}
