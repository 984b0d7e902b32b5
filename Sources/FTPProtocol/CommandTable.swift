/// What each command is and may do: one row per verb (PROTOCOL section 1). A rule about one command is a row here.
public enum CommandTable {
    public struct Row: Equatable, Sendable {
        public enum Kind: Equatable, Sendable {
            /// USER, PASS, ACCT.
            case login
            /// AUTH, PBSZ, PROT and kin: the gateway's business alone.
            case security
            /// PASV, EPSV, PORT, EPRT.
            case dataSetup
            case transfer(Transfer)
            case abort
            case quit
            case feat
            /// Refused by the gateway, whatever the backend could do.
            case refused
            /// Goes to the backend as it is.
            case relayed
            /// As `relayed`; the gateway has never heard of it.
            case unknown
        }

        public enum Transfer: Equatable, Sendable { case download, listing, upload }

        /// What it does to the backend's files, for `--access`.
        public enum Effect: Equatable, Sendable {
            case neutral, reads, lists
            /// Makes or changes something.
            case writes
            case deletes
            /// The gateway has never heard of it.
            case unknown
        }

        public var kind: Kind
        /// Answered, by the gateway, before TLS.
        public var beforeTLS: Bool
        /// Let through before login.
        public var beforeLogin: Bool
        /// No session gets anywhere without it: an allow list need not name it.
        public var isEssential: Bool
        public var effect: Effect

        init(
            _ kind: Kind, beforeTLS: Bool = false, beforeLogin: Bool = false, isEssential: Bool = false,
            _ effect: Effect = .neutral
        ) {
            self.kind = kind
            self.beforeTLS = beforeTLS
            self.beforeLogin = beforeLogin
            self.isEssential = isEssential || beforeLogin
            self.effect = effect
        }
    }

    public static func row(for verb: Command.Verb) -> Row { rows[verb] ?? Row(.unknown, .unknown) }

    /// Every verb that has a row.
    public static var verbs: [Command.Verb] { Array(rows.keys) }

    /// What a command does to the backend's files, where its argument has a say in it.
    public static func effect(of command: Command) -> Row.Effect {
        switch command.verb {
        // Without an argument it tells of the session, not of files.
        case .stat where command.word.isEmpty: return .neutral
        case .mdtm where command.setsTime: return .writes
        case .site:
            let words = command.readings.map { String($0.uppercasedASCII.split(separator: " ").first ?? "") }
            guard let word = words.last, words.allSatisfy({ $0 == word }) else { return .unknown }
            return siteEffects[word] ?? .unknown
        default: return row(for: command.verb).effect
        }
    }

    /// SITE's own commands, as far as servers agree. Any other may do anything: copy files, or run programs.
    private static let siteEffects: [String: Row.Effect] = [
        "HELP": .neutral, "IDLE": .neutral, "UMASK": .neutral,
        "CHMOD": .writes, "CHGRP": .writes, "UTIME": .writes, "MKDIR": .writes,
        "RMDIR": .deletes,
    ]

    private static let rows: [Command.Verb: Row] = [
        .auth: Row(.security, beforeTLS: true, beforeLogin: true),
        .pbsz: Row(.security, beforeTLS: true, beforeLogin: true),
        .prot: Row(.security, beforeTLS: true, beforeLogin: true),
        .ccc: Row(.security, beforeTLS: true, beforeLogin: true),
        .adat: Row(.security, beforeTLS: true, beforeLogin: true),
        .mic: Row(.security, beforeTLS: true, beforeLogin: true),
        .conf: Row(.security, beforeTLS: true, beforeLogin: true),
        .enc: Row(.security, beforeTLS: true, beforeLogin: true),

        .user: Row(.login, beforeLogin: true),
        .pass: Row(.login, beforeLogin: true),
        .acct: Row(.login, beforeLogin: true),
        .rein: Row(.refused, beforeLogin: true),
        .host: Row(.relayed, beforeTLS: true, beforeLogin: true),
        .quit: Row(.quit, beforeTLS: true, beforeLogin: true),

        .pasv: Row(.dataSetup, isEssential: true),
        .epsv: Row(.dataSetup, isEssential: true),
        .port: Row(.dataSetup, isEssential: true),
        .eprt: Row(.dataSetup, isEssential: true),
        .lprt: Row(.refused, beforeLogin: true),
        .lpsv: Row(.refused, beforeLogin: true),
        .sscn: Row(.refused, beforeLogin: true),
        .cpsv: Row(.refused, beforeLogin: true),
        .spsv: Row(.refused, beforeLogin: true),
        .passiveSwitch: Row(.refused, beforeLogin: true),

        .retr: Row(.transfer(.download), .reads),
        .list: Row(.transfer(.listing), .lists),
        .nlst: Row(.transfer(.listing), .lists),
        .mlsd: Row(.transfer(.listing), .lists),
        .stor: Row(.transfer(.upload), .writes),
        .stou: Row(.transfer(.upload), .writes),
        .appe: Row(.transfer(.upload), .writes),
        .abor: Row(.abort, isEssential: true),

        .dele: Row(.relayed, .deletes),
        .mkd: Row(.relayed, .writes),
        .xmkd: Row(.relayed, .writes),
        .rmd: Row(.relayed, .deletes),
        .xrmd: Row(.relayed, .deletes),
        .rnfr: Row(.relayed, .writes),
        .rnto: Row(.relayed, .writes),
        .mfmt: Row(.relayed, .writes),
        .mfct: Row(.relayed, .writes),
        .mff: Row(.relayed, .writes),
        .site: Row(.relayed, .unknown),
        .smnt: Row(.relayed, .writes),
        .mlst: Row(.relayed, .lists),
        .size: Row(.relayed, .lists),
        .mdtm: Row(.relayed, .lists),
        .stat: Row(.relayed, .lists),

        .type: Row(.relayed, isEssential: true),
        .mode: Row(.relayed, isEssential: true),
        .stru: Row(.relayed, isEssential: true),
        .allo: Row(.relayed),
        .rest: Row(.relayed),
        .cwd: Row(.relayed),
        .xcwd: Row(.relayed),
        .cdup: Row(.relayed),
        .xcup: Row(.relayed),
        .pwd: Row(.relayed, isEssential: true),
        .xpwd: Row(.relayed, isEssential: true),
        .syst: Row(.relayed, beforeLogin: true),
        .help: Row(.relayed, beforeTLS: true, beforeLogin: true),
        .noop: Row(.relayed, beforeTLS: true, beforeLogin: true),
        .feat: Row(.feat, beforeTLS: true, beforeLogin: true),
        .opts: Row(.relayed, beforeTLS: true, beforeLogin: true),
        .clnt: Row(.relayed, beforeTLS: true, beforeLogin: true),
        .lang: Row(.relayed, beforeLogin: true),
        .csid: Row(.relayed),

        .hash: Row(.relayed, .reads),
        .md5: Row(.relayed, .reads),
        .xcrc: Row(.relayed, .reads),
        .xmd5: Row(.relayed, .reads),
        .xsha: Row(.relayed, .reads),
        .xsha1: Row(.relayed, .reads),
        .xsha256: Row(.relayed, .reads),
        .xsha512: Row(.relayed, .reads),
        .avbl: Row(.relayed, .lists),
        .dsiz: Row(.relayed, .lists),
        .rang: Row(.relayed),
        .comb: Row(.relayed, .writes),
        .rmda: Row(.relayed, .deletes),
    ]
}
