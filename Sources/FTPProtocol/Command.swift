/// One command of a client: a verb and its argument (RFC 959 section 5.3).
public struct Command: Equatable, Sendable, CustomStringConvertible {
    /// A command's name, in upper case whatever case it came in.
    public struct Verb: Hashable, Sendable, CustomStringConvertible {
        public let name: String
        public init(_ name: String) { self.init(Array(name.utf8)[...]) }

        init(_ bytes: ArraySlice<UInt8>) {
            name = String(decoding: bytes.map { (97...122).contains($0) ? $0 - 32 : $0 }, as: UTF8.self)
        }

        public var description: String { name }

        /// The verb that this one is an older name of (RFC 775, RFC 1123 section 4.1.3.1), or itself.
        public var canonical: Verb { Self.newerNames[self] ?? self }

        private static let newerNames: [Verb: Verb] = [.xcwd: .cwd, .xcup: .cdup, .xmkd: .mkd, .xrmd: .rmd, .xpwd: .pwd]
    }

    public let verb: Verb
    private let text: Text
    private let argumentStart: Int

    /// The bytes of a line, shared by all copies of its command and overwritten when the last of them goes: a password does not
    /// stay in memory (REQUIREMENTS S1).
    ///
    /// Unchecked: nothing changes but in `deinit`, when nobody else holds it.
    private final class Text: @unchecked Sendable {
        private(set) var bytes: [UInt8]
        init(_ bytes: [UInt8]) { self.bytes = bytes }
        deinit { bytes.overwrite(bytes.startIndex..<bytes.endIndex) }
    }

    /// The whole line without its end, as it came: what the backend gets.
    public var line: [UInt8] { text.bytes }

    /// What follows the verb and one blank, as it came.
    public var argument: ArraySlice<UInt8> { text.bytes[argumentStart...] }

    /// What a line turned out to be.
    public enum Parsed: Equatable, Sendable {
        case command(Command)
        /// CR or NUL inside, or a verb that is not of printable ASCII: what the backend would make of it is anybody's guess, so
        /// it never gets it (CVE-2017-3533). Some servers take a tab for a blank: "DELE<tab>file" is no verb that a rule knows,
        /// and deletes the file.
        case illegalCharacter
        /// No verb.
        case empty
        /// Telnet commands alone: there is nothing to answer.
        case telnetOnly
    }

    /// - Parameter line: without its end.
    public static func parse(_ line: [UInt8]) -> Parsed {
        let text = Telnet.strip(line)
        if text.isEmpty { return line.isEmpty ? .empty : .telnetOnly }
        guard !text.contains(UInt8(ascii: "\r")), !text.contains(0) else { return .illegalCharacter }
        let blank = text.firstIndex(of: UInt8(ascii: " ")) ?? text.count
        guard blank > 0 else { return .empty }
        guard text[..<blank].allSatisfy({ (33...126).contains($0) }) else { return .illegalCharacter }
        return .command(Command(Verb(text[..<blank]), text, argumentStart: min(blank + 1, text.count)))
    }

    private init(_ verb: Verb, _ line: [UInt8], argumentStart: Int) {
        self.verb = verb
        self.argumentStart = argumentStart
        text = Text(line)
    }

    /// A command of the gateway's own.
    public init(_ verb: Verb, _ argument: String = "") {
        let name = Array(verb.name.utf8)
        let line = argument.isEmpty ? name : name + [UInt8(ascii: " ")] + Array(argument.utf8)
        self.init(verb, line, argumentStart: min(name.count + 1, line.count))
    }

    public static func == (left: Command, right: Command) -> Bool { left.text === right.text || left.line == right.line }

    /// The argument for people and for comparisons; bytes that are no UTF-8 are repaired.
    public var argumentText: String { String(decoding: argument, as: UTF8.self) }

    /// The argument without blanks around it, for the commands whose argument the gateway reads by itself.
    public var word: ArraySlice<UInt8> { argument.trimmingBlanks }

    /// Likewise, in upper case.
    public var wordText: String { String(decoding: word, as: UTF8.self).uppercasedASCII }

    /// Whether the argument is, or may hold, a password.
    public var hasSecret: Bool { verb == .pass || verb == .acct || isMistypedSecret || secretSite != nil }

    /// "PASS:secret" has no blank, so the secret is in the verb.
    private var isMistypedSecret: Bool {
        verb != .pass && verb.name.hasPrefix("PASS") || verb != .acct && verb.name.hasPrefix("ACCT")
    }

    /// SITE PSWD, SITE CPWD, SITE CHPASS and whatever else servers call it: the word, where it is one of these.
    private var secretSite: String? {
        guard verb == .site, let word = argumentText.uppercasedASCII.split(separator: " ").first else { return nil }
        return ["PAS", "PSW", "PWD"].contains { word.contains($0) } ? String(word) : nil
    }

    /// For logs: a password is never shown.
    public var description: String {
        if isMistypedSecret { return "\(verb.name.prefix(4))<secret>" }
        if let secretSite { return "\(verb) \(secretSite) <secret>" }
        if hasSecret { return "\(verb) <secret>" }
        return argument.isEmpty ? verb.name : "\(verb) \(argumentText)"
    }
}

extension Command.Verb {
    // Security: RFC 2228, RFC 4217.
    public static let auth = Self("AUTH")
    public static let pbsz = Self("PBSZ")
    public static let prot = Self("PROT")
    public static let ccc = Self("CCC")
    public static let adat = Self("ADAT")
    public static let mic = Self("MIC")
    public static let conf = Self("CONF")
    public static let enc = Self("ENC")
    // Access: RFC 959 section 4.1.1, RFC 7151.
    public static let user = Self("USER")
    public static let pass = Self("PASS")
    public static let acct = Self("ACCT")
    public static let cwd = Self("CWD")
    public static let cdup = Self("CDUP")
    public static let smnt = Self("SMNT")
    public static let rein = Self("REIN")
    public static let quit = Self("QUIT")
    public static let host = Self("HOST")
    // Parameters: RFC 959 section 4.1.2, RFC 2428, RFC 1639.
    public static let port = Self("PORT")
    public static let pasv = Self("PASV")
    public static let eprt = Self("EPRT")
    public static let epsv = Self("EPSV")
    public static let lprt = Self("LPRT")
    public static let lpsv = Self("LPSV")
    public static let type = Self("TYPE")
    public static let stru = Self("STRU")
    public static let mode = Self("MODE")
    // Extensions of other servers for data between two of them.
    public static let sscn = Self("SSCN")
    public static let cpsv = Self("CPSV")
    public static let spsv = Self("SPSV")
    public static let passiveSwitch = Self("P@SW")
    // Service: RFC 959 section 4.1.3, RFC 775, RFC 3659.
    public static let retr = Self("RETR")
    public static let stor = Self("STOR")
    public static let stou = Self("STOU")
    public static let appe = Self("APPE")
    public static let list = Self("LIST")
    public static let nlst = Self("NLST")
    public static let mlsd = Self("MLSD")
    public static let mlst = Self("MLST")
    public static let allo = Self("ALLO")
    public static let rest = Self("REST")
    public static let rnfr = Self("RNFR")
    public static let rnto = Self("RNTO")
    public static let abor = Self("ABOR")
    public static let dele = Self("DELE")
    public static let rmd = Self("RMD")
    public static let mkd = Self("MKD")
    public static let pwd = Self("PWD")
    public static let xcwd = Self("XCWD")
    public static let xcup = Self("XCUP")
    public static let xmkd = Self("XMKD")
    public static let xrmd = Self("XRMD")
    public static let xpwd = Self("XPWD")
    public static let size = Self("SIZE")
    public static let mdtm = Self("MDTM")
    public static let mfmt = Self("MFMT")
    public static let mfct = Self("MFCT")
    public static let mff = Self("MFF")
    public static let site = Self("SITE")
    public static let syst = Self("SYST")
    public static let stat = Self("STAT")
    public static let help = Self("HELP")
    public static let noop = Self("NOOP")
    // RFC 2389, RFC 2640 and what grew around them.
    public static let feat = Self("FEAT")
    public static let opts = Self("OPTS")
    public static let lang = Self("LANG")
    public static let clnt = Self("CLNT")
    public static let csid = Self("CSID")
    // Drafts and habits of servers that are widespread: checksums, space, whole trees.
    public static let hash = Self("HASH")
    public static let md5 = Self("MD5")
    public static let xcrc = Self("XCRC")
    public static let xmd5 = Self("XMD5")
    public static let xsha = Self("XSHA")
    public static let xsha1 = Self("XSHA1")
    public static let xsha256 = Self("XSHA256")
    public static let xsha512 = Self("XSHA512")
    public static let avbl = Self("AVBL")
    public static let dsiz = Self("DSIZ")
    public static let rang = Self("RANG")
    public static let comb = Self("COMB")
    public static let rmda = Self("RMDA")
}
