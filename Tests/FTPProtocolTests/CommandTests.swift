import FTPProtocol
import Testing

private func parse(_ bytes: [UInt8]) -> Command.Parsed { Command.parse(bytes) }
private func parsed(_ text: String) -> Command? { parsed(Array(text.utf8)) }
private func parsed(_ bytes: [UInt8]) -> Command? {
    if case .command(let command) = Command.parse(bytes) { command } else { nil }
}

struct CommandTests {
    @Test(arguments: [
        ("NOOP", "NOOP", ""), ("noop", "NOOP", ""), ("NoOp ", "NOOP", ""), ("USER anonymous", "USER", "anonymous"),
        ("RETR  two blanks ", "RETR", " two blanks "), ("RETR \tx", "RETR", "\tx"), ("cwd é", "CWD", "é"),
        ("p@sw", "P@SW", ""),
    ])
    func hasAVerbAndAnArgument(line: String, verb: String, argument: String) throws {
        let command = try #require(parsed(line))
        #expect(command.verb == Command.Verb(verb))
        #expect(command.argumentText == argument)
        #expect(command.line == Array(line.utf8), "the backend gets it byte for byte")
    }

    @Test func bytesBeyondASCIIPassUnchanged() throws {
        let line: [UInt8] = Array("STOR ".utf8) + [0xe9, 0x83, 0x5c, 0xff, 0xff, 0x7f, 0x1b]
        #expect(try #require(parsed(line)).line == line)
        #expect(try #require(parsed(line)).argument == line[5...])
    }

    @Test(arguments: [
        "RETR a\rDELE b", "RETR a\0", "\0NOOP", "NOOP\r", "RETR caf\u{e9}\rX",
    ])
    func carriageReturnsAndNULsAreIllegal(line: String) {
        #expect(parse(Array(line.utf8)) == .illegalCharacter)
    }

    /// Some servers take these for blanks, or cut them off: the verb would be another for them than for us.
    @Test(arguments: ["DELE\tfile", "\tDELE file", "DELE\u{0b}file", "DELE\u{0c} file", "DELE\u{7f} a", "DELÉ a", "\u{a0}DELE a"])
    func aVerbIsOfPrintableASCII(line: String) {
        #expect(parse(Array(line.utf8)) == .illegalCharacter)
    }

    @Test(arguments: ["", " ", " NOOP", "  "])
    func aLineWithoutAVerbIsEmpty(line: String) {
        #expect(parse(Array(line.utf8)) == .empty)
    }

    @Test(
        arguments: [
            // RFC 959 section 4.1.3: Interrupt Process, then the Synch signal.
            [0xff, 0xf4, 0xff, 0xf2], [0xff, 0xf4, 0xf2], [0xf2], [0xff, 0xf4], [0xff, 0xfd, 0x00], [0xff, 0xfb, 0x0d],
            [0xff, 0xf1],
        ] as [[UInt8]])
    func telnetCommandsInFrontOfTheVerbAreTakenOut(signal: [UInt8]) throws {
        let abort = try #require(parsed(signal + Array("ABOR".utf8)))
        #expect(abort.verb == .abor)
        #expect(abort.line == Array("ABOR".utf8))
        #expect(parse(signal) == .telnetOnly)
    }

    @Test func telnetCommandsInsideTheVerbAreTakenOut() {
        #expect(parsed([0x41, 0xff, 0xf4, 0x42, 0x4f, 0xff, 0xfe, 0x01, 0x52])?.verb == .abor)
        #expect(parsed(Array("ABOR".utf8) + [0xff, 0xf2])?.verb == .abor)
    }

    @Test func inArgumentsTheByte255IsData() throws {
        let line: [UInt8] = Array("RETR a".utf8) + [0xff, 0xff, 0xff, 0xf4, 0x62]
        #expect(try #require(parsed(line)).line == line)
        #expect(try #require(parsed([0xff, 0xf4] + line)).line == line)
    }

    @Test func aDoubled255BeginsNoCommandAndBelongsToNoVerb() {
        for line in [[0x41, 0xff, 0xff, 0xf4, 0x42], [0x41, 0xff, 0xff, 0xff, 0xff, 0x20, 0x42], [0x41, 0xff, 0x20, 0x42]]
            as [[UInt8]]
        {
            #expect(parse(line) == .illegalCharacter)
        }
    }

    @Test func aTelnetCommandThatIsCutOffIsNoneTheLess() {
        #expect(parse([0xff, 0xfd]) == .telnetOnly)
        #expect(parse([0x41, 0xff]) == .illegalCharacter)
    }

    @Test(arguments: [
        ("PASS geheim", "PASS <secret>"), ("pass geheim", "PASS <secret>"), ("PASS", "PASS <secret>"),
        ("ACCT geheim", "ACCT <secret>"),
        ("pass:geheim", "PASS<secret>"), ("SITE PSWD alt geheim", "SITE PSWD <secret>"),
        ("site cpwd geheim", "SITE CPWD <secret>"), ("SITE CHPASS geheim", "SITE CHPASS <secret>"),
        ("SITE CHMOD 644 a", "SITE CHMOD 644 a"), ("USER a", "USER a"), ("NOOP", "NOOP"), ("PASV", "PASV"),
    ])
    func passwordsAreNeverShown(line: String, shown: String) throws {
        #expect(try #require(parsed(line)).description == shown)
        #expect(try #require(parsed(line)).hasSecret == line.contains("geheim") || shown == "PASS <secret>")
    }

    @Test(arguments: [
        ("RETR a", ["a"]), ("RETR  a  b ", [" a  b ", "a  b", "a b"]),
        ("SITE\u{20}\tCHMOD\t644 a", ["\tCHMOD\t644 a", "CHMOD\t644 a", "CHMOD 644 a"]),
        ("NOOP", [""]),
    ])
    func anArgumentIsReadAsServersReadIt(line: String, readings: [String]) throws {
        #expect(try #require(parsed(line)).readings == readings)
    }

    @Test func telnetCommandsInAnArgumentAreReadBothWays() throws {
        let command = try #require(parsed(Array("USER ro".utf8) + [0xff, 0xf1] + Array("ot".utf8)))
        #expect(command.readings.contains("root") && command.readings[0] != "root")
        let doubled = try #require(parsed(Array("DELE ".utf8) + [0xff, 0xff, 0xf1, 0x61]))
        #expect(doubled.line == Array("DELE ".utf8) + [0xff, 0xff, 0xf1, 0x61])
    }

    @Test(arguments: [
        ("RETR /pub/../etc/x", "/etc/x", true), ("RETR //pub//./x", "/pub/x", false), ("RETR ../x", "../x", true),
        ("RETR a..b", "a..b", false),
        ("RETR a\\..\\b", "b", true), ("RETR .. /x", ".. /x", true), ("RETR x/", "x", false), ("LIST", "", false),
    ])
    func aPathHasNoDetours(line: String, path: String, climbs: Bool) throws {
        let command = try #require(parsed(line))
        #expect(command.directPath == path)
        #expect(command.climbs == climbs)
    }

    @Test func theGatewaysOwnCommandsAreWellFormed() {
        #expect(Command(.noop).line == Array("NOOP".utf8))
        #expect(Command(.port, "1,2,3,4,5,6").line == Array("PORT 1,2,3,4,5,6".utf8))
        #expect(Command(.port, "1,2,3,4,5,6").argumentText == "1,2,3,4,5,6")
        #expect(Command(.noop) == parsed("NOOP"))
        #expect(Command(.noop) != parsed("noop"), "not the same bytes")
    }
}
