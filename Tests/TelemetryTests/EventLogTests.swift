import Glibc
import Synchronization
import Testing

@testable import Telemetry

/// Collects lines in place of standard error.
private final class Lines: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func log(_ level: EventLog.Level = .info, _ format: EventLog.Format = .text) -> EventLog {
        EventLog(level: level, format: format) { line in self.lines.withLock { $0.append(line) } }
    }
}

@Suite struct LinesOfTheLog {
    @Test func fieldsKeepTheirOrderAndNilIsLeftOut() throws {
        let lines = Lines()
        lines.log().info("transfer", ["id": "x", "bytes": .integer(9), "user": nil, "code": .integer(226), "again": "y"])
        let line = try #require(lines.all.first)
        #expect(lines.all.count == 1)
        #expect(line.hasSuffix(" info transfer id=x bytes=9 code=226 again=y\n"))
    }

    @Test func moreThanTenFieldsKeepTheirOrderToo() throws {
        let lines = Lines()
        lines.log().info(
            "e",
            [
                "a": "0", "b": "1", "c": "2", "d": "3", "e": "4", "f": "5", "g": "6", "h": "7", "i": "8", "j": "9", "k": "10",
                "l": "11",
            ])
        #expect(try #require(lines.all.first).hasSuffix(" e a=0 b=1 c=2 d=3 e=4 f=5 g=6 h=7 i=8 j=9 k=10 l=11\n"))
    }

    @Test(arguments: [
        ("plain", "plain"), ("", "\"\""), ("two words", "\"two words\""), ("a=b", "\"a=b\""), ("say \"x\"", #""say \"x\"""#),
        ("a\nfake line", #""a\nfake line""#), ("\u{1b}[31mred", #""\u{1b}[31mred""#), ("tab\tcr\r", #""tab\tcr\r""#),
        ("back\\slash", #""back\\slash""#), ("\u{202e}gnp.exe", #""\u{202e}gnp.exe""#), ("\u{85}", #""\u{85}""#),
        ("grün", "\"grün\""),
    ])
    func whatStrangersSayMakesNoLineOfItsOwn(text: String, shown: String) throws {
        let lines = Lines()
        lines.log().info("e", ["field": .string(text)])
        #expect(try #require(lines.all.first).hasSuffix(" info e field=\(shown)\n"))
    }

    @Test(arguments: [0, 7, 10, 99, 100, 4096, -1, -100, .max, .min])
    func numbersAreWhole(number: Int) throws {
        let lines = Lines()
        lines.log().info("e", ["field": .integer(number)])
        #expect(try #require(lines.all.first).hasSuffix(" info e field=\(number)\n"))
    }

    @Test func jsonIsOneObjectALine() throws {
        let lines = Lines()
        lines.log(.info, .json).warning("login.failed", ["user": .string("a\"\n\u{1b}\u{2028}"), "count": .integer(3)])
        let line = try #require(lines.all.first)
        #expect(line.hasPrefix(#"{"time":"20"#))
        #expect(line.hasSuffix(#""level":"warning","event":"login.failed","user":"a\"\n\u001b\u2028","count":3}"# + "\n"))
    }

    @Test(arguments: [
        (EventLog.Level.error, ["e"]), (.warning, ["e", "w"]), (.info, ["e", "w", "i"]), (.debug, ["e", "w", "i", "d"]),
    ])
    func theLevelDecidesWhatIsShown(level: EventLog.Level, shown: [String]) {
        let lines = Lines()
        let log = lines.log(level)
        log.error("e")
        log.warning("w")
        log.info("i")
        log.debug("d")
        #expect(lines.all.map { String($0.dropLast().split(separator: " ").last ?? "") } == shown)
    }

    @Test(arguments: [
        (0, 7, "1970-01-01T00:00:00.007Z"), (951_827_696, 250, "2000-02-29T12:34:56.250Z"),
        (253_402_300_799, 999, "9999-12-31T23:59:59.999Z"),
    ])
    func timesAreUTC(seconds: Int, milliseconds: Int, shown: String) {
        var line = Line()
        line.append(timespec(tv_sec: seconds, tv_nsec: milliseconds * 1_000_000 + 999_999))
        #expect(String(decoding: line.bytes, as: UTF8.self) == shown)
    }
}

@Suite struct NumbersBesideTheLog {
    @Test func everyEventIsCountedWhateverTheLevel() {
        let lines = Lines()
        let log = lines.log(.error)
        log.info("session.closed", ["id": "x", "reason": "client_quit"])
        log.info("session.closed", ["id": "y", "reason": "client_quit"])
        log.info("transfer", ["bytes": .integer(5)])
        log.debug("command", ["line": "NOOP"])
        #expect(lines.all.isEmpty)
        #expect(log.metrics.value(of: .events, ["event": "session.closed", "reason": "client_quit"]) == 2)
        #expect(log.metrics.value(of: .events, ["event": "transfer"]) == 1)
        #expect(log.metrics.value(of: .events, ["event": "command"]) == 0)
    }

    @Test func aReasonThatIsASentenceMakesNoSeries() {
        let log = Lines().log()
        log.warning("backend.unavailable", ["reason": "Connection refused"])
        log.warning("backend.unavailable", ["reason": "No route to host"])
        #expect(log.metrics.value(of: .events, ["event": "backend.unavailable"]) == 2)
    }

    @Test func theTextIsThatOfPrometheus() {
        let metrics = Metrics()
        metrics.add(.transferBytes, ["direction": "upload"], by: 7)
        metrics.add(.transferBytes, ["direction": "download"], by: 5)
        metrics.add(.transferBytes, ["direction": "upload"], by: 1)
        metrics.set(.sessions, to: 3)
        metrics.set(.sessions, to: 2)
        metrics.set(.build, ["version": "1 \"x\"\\\n"], to: 1)
        #expect(
            metrics.text == """
                # HELP ftpsgate_build_info Versions; the value is 1.
                # TYPE ftpsgate_build_info gauge
                ftpsgate_build_info{version="1 \\"x\\"\\\\\\n"} 1
                # HELP ftpsgate_sessions_active Control connections that are open.
                # TYPE ftpsgate_sessions_active gauge
                ftpsgate_sessions_active 2
                # HELP ftpsgate_transfer_bytes_total Bytes of files and listings, by direction.
                # TYPE ftpsgate_transfer_bytes_total counter
                ftpsgate_transfer_bytes_total{direction="download"} 5
                ftpsgate_transfer_bytes_total{direction="upload"} 8

                """)
    }

    @Test func whatIsGoneIsTakenAway() {
        let metrics = Metrics()
        metrics.set(.certificateExpiry, ["certificate": "a"], to: 5)
        metrics.set(.draining, to: 0)
        metrics.removeAll(of: .certificateExpiry)
        #expect(metrics.text.contains("ftpsgate_draining 0"))
        #expect(!metrics.text.contains("certificate"))
    }
}
