import FTPProtocol
import Wire

/// What the operator's lists and presets mean for one command.
extension SessionPolicy {
    /// A list that denies wins over one that allows, and each over the preset's doubts about commands that nobody knows.
    func permits(_ command: Command, _ row: CommandTable.Row) -> Bool {
        if deniedCommands.contains(where: { $0.denies(command) }) { return false }
        let isNamed = allowedCommands.contains { $0.allows(command) }
        guard allowedCommands.isEmpty || row.isEssential || isNamed else { return false }
        let effect = CommandTable.effect(of: command)
        return effect == .unknown ? access == .full || isNamed : access.permits(effect)
    }

    /// Whichever way the backend reads the name: none of them may be denied, in whatever case, and all must be allowed.
    func permits(user command: Command) -> Bool {
        let names = command.readings
        if deniedUsers.contains(where: { pattern in names.contains { wildcard(pattern, matchesAnyCaseOf: $0) } }) { return false }
        return allowedUsers.isEmpty || names.allSatisfy { name in allowedUsers.contains { wildcard($0, matches: name) } }
    }

    /// Whether a feature line is left out, since its command would be refused.
    func hides(feature words: [String]) -> Bool {
        guard let feature = words.first else { return false }
        // These name no command.
        if ["UTF8", "TVFS"].contains(feature) { return false }
        let commands: [Command] =
            switch feature {
            // MLST in FEAT promises MLSD as well (RFC 3659 section 7.8).
            case "MLST": [Command(.mlst), Command(.mlsd)]
            case "SITE": [Command(.site, words.dropFirst().joined(separator: " "))]
            default: [Command(Command.Verb(feature))]
            }
        return commands.contains { !permits($0, CommandTable.row(for: $0.verb)) }
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

extension SessionPolicy.Limits {
    func argument(of verb: Command.Verb) -> Int {
        switch verb {
        case .user: user
        case .pass, .acct: password
        default: path > 0 ? path : commandLine
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
    /// Older names of a verb are that verb, and the argument may be read in several ways: one is enough, in any case of
    /// letters, since some servers do not tell them apart.
    func denies(_ command: Command) -> Bool {
        guard verb.canonical == command.verb.canonical else { return false }
        guard let argument else { return true }
        return (command.readings + [command.directPath]).contains { wildcard(argument, matchesAnyCaseOf: $0) }
    }

    /// Every way of reading the argument must be allowed; one that climbs out of a folder leads nobody knows where.
    func allows(_ command: Command) -> Bool {
        guard verb.canonical == command.verb.canonical else { return false }
        guard let argument else { return true }
        if command.climbs, !argument.contains("..") { return false }
        return command.readings.allSatisfy {
            // SITE's own commands are verbs.
            verb == .site ? wildcard(argument, matchesAnyCaseOf: $0) : wildcard(argument, matches: $0)
        }
    }
}

private func wildcard(_ pattern: String, matchesAnyCaseOf text: String) -> Bool {
    wildcard(pattern.uppercasedASCII, matches: text.uppercasedASCII)
}
