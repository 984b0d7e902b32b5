import FTPProtocol
import Testing

struct CommandTableTests {
    /// PROTOCOL section 1: what may be said in the clear.
    @Test func beforeTLSTheGatewayAnswersTheseAlone() {
        let answered = [
            "AUTH", "PBSZ", "PROT", "CCC", "ADAT", "MIC", "CONF", "ENC", "FEAT", "HELP", "NOOP", "QUIT", "HOST", "CLNT", "OPTS",
        ]
        expectRows(Set(answered)) { $0.beforeTLS }
    }

    /// REQUIREMENTS S2, and what is refused whoever asks.
    @Test func beforeLoginTheseAreActedUponAlone() {
        let allowed = [
            "USER", "PASS", "ACCT", "AUTH", "PBSZ", "PROT", "FEAT", "HOST", "CLNT", "OPTS", "SYST", "HELP", "NOOP", "QUIT", "CCC",
            "LANG",
            "ADAT", "MIC", "CONF", "ENC",
        ]
        let refused = ["REIN", "LPRT", "LPSV", "SSCN", "CPSV", "SPSV", "P@SW"]
        expectRows(Set(allowed + refused)) { $0.beforeLogin }
        expectRows(Set(refused)) { $0.kind == .refused }
    }

    @Test func transfersAreTheseAlone() {
        expectRows(["RETR"]) { $0.kind == .transfer(.download) }
        expectRows(["LIST", "NLST", "MLSD"]) { $0.kind == .transfer(.listing) }
        expectRows(["STOR", "STOU", "APPE"]) { $0.kind == .transfer(.upload) }
        expectRows(["PASV", "EPSV", "PORT", "EPRT"]) { $0.kind == .dataSetup }
    }

    @Test func whatChangesFilesIsMarked() {
        expectRows([
            "STOR", "STOU", "APPE", "MKD", "XMKD", "RNFR", "RNTO", "MFMT", "MFCT", "MFF", "SMNT", "COMB",
        ]) { $0.effect == .writes }
        expectRows(["DELE", "RMD", "XRMD", "RMDA"]) { $0.effect == .deletes }
    }

    @Test(
        arguments: [
            ("SITE CHMOD 644 a", .writes), ("site  utime 20200101000000 a", .writes), ("SITE RMDIR a", .deletes),
            ("SITE HELP", .neutral),
            ("SITE", .unknown), ("SITE CPFR /etc/passwd", .unknown), ("SITE EXEC ls", .unknown), ("SITE HELP\tx", .unknown),
            ("SITE HELP/../CHMOD", .unknown), ("SITE \tHELP", .unknown), ("MDTM a", .lists), ("MDTM 20200101000000", .lists),
            ("MDTM 20200101000000 a", .writes),
            ("mdtm 20200101000000+60 a", .writes), ("MDTM  20200101000000.123\ta", .writes), ("STAT", .neutral),
            ("STAT  ", .neutral),
            ("STAT a", .lists), ("XMKD a", .writes),
        ] as [(String, CommandTable.Row.Effect)])
    func theArgumentHasItsSay(line: String, effect: CommandTable.Row.Effect) throws {
        guard case .command(let command) = Command.parse(Array(line.utf8)) else { return #expect(Bool(false), "\(line)") }
        #expect(CommandTable.effect(of: command) == effect)
    }

    @Test func aVerbThatNobodyKnowsIsRelayedAndTrustedWithNothing() {
        let row = CommandTable.row(for: Command.Verb("XYZZY"))
        #expect(row.kind == .unknown)
        #expect(row.effect == .unknown)
        #expect(!row.beforeTLS && !row.beforeLogin && !row.isEssential)
    }

    /// RFC 959, 775, 1639, 2228, 2389, 2428, 2640, 3659, 4217, 7151.
    private static let known = """
        USER PASS ACCT CWD CDUP SMNT REIN QUIT PORT PASV TYPE STRU MODE RETR STOR STOU APPE ALLO REST RNFR RNTO ABOR DELE RMD MKD PWD
        LIST NLST SITE SYST STAT HELP NOOP XCWD XCUP XMKD XRMD XPWD LPRT LPSV AUTH ADAT PROT PBSZ CCC MIC CONF ENC FEAT OPTS EPRT EPSV
        LANG MDTM SIZE MLST MLSD HOST MFMT MFCT MFF CLNT CSID SSCN CPSV SPSV P@SW HASH MD5 XCRC XMD5 XSHA XSHA1 XSHA256 XSHA512 AVBL
        DSIZ RANG COMB RMDA
        """.split { $0 == " " || $0 == "\n" }.map(String.init)

    @Test func everyVerbOfTheRFCsHasItsRow() {
        expectRows(Set(Self.known)) { $0.kind != .unknown }
    }

    private func expectRows(
        _ expected: Set<String>, _ property: (CommandTable.Row) -> Bool, _ location: SourceLocation = #_sourceLocation
    ) {
        let found = Set(Self.known.filter { property(CommandTable.row(for: Command.Verb($0))) })
        #expect(found == expected, sourceLocation: location)
    }
}
