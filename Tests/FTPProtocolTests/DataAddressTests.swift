import FTPProtocol
import Testing
import Wire

private func bytes(_ text: String) -> ArraySlice<UInt8> {
    // As in a command: the argument does not begin at index 0.
    Array("VERB \(text)".utf8)[5...]
}

struct DataAddressTests {
    @Test func readsPORT() {
        #expect(DataAddress.parsePORT(bytes("192,0,2,1,195,80")) == SocketAddress("192.0.2.1:50000"))
        #expect(DataAddress.parsePORT(bytes("0,0,0,0,0,1")) == SocketAddress("0.0.0.0:1"))
        #expect(DataAddress.parsePORT(bytes("010,0,0,1,004,01")) == SocketAddress("10.0.0.1:1025"))
    }

    @Test(arguments: [
        "", "1", "1,2,3,4,5", "1,2,3,4,5,6,7", "1,2,3,4,5,256", "256,2,3,4,5,6", "1,2,3,4,0,0", "1,2,3,4,5,6 ", " 1,2,3,4,5,6",
        "1, 2,3,4,5,6",
        "-1,2,3,4,5,6", "+1,2,3,4,5,6", "1,,3,4,5,6", "1,2,3,4,5,", ",1,2,3,4,5,6", "1.2.3.4,5,6", "(1,2,3,4,5,6)",
        "0x1,2,3,4,5,6",
        "1,2,3,4,5,000006", "1,2,3,4,5,6\u{661}", "a,b,c,d,e,f", "999999999999999999999,2,3,4,5,6",
    ])
    func refusesOtherPORTs(argument: String) {
        #expect(DataAddress.parsePORT(bytes(argument)) == nil)
    }

    @Test(arguments: [
        ("|1|192.0.2.1|50000|", "192.0.2.1:50000"), ("|2|2001:db8::1|50000|", "[2001:db8::1]:50000"),
        ("!1!192.0.2.1!1!", "192.0.2.1:1"),
        ("|2|::ffff:192.0.2.1|65535|", "[::ffff:192.0.2.1]:65535"), ("~01~192.0.2.1~00021~", "192.0.2.1:21"),
    ])
    func readsEPRT(argument: String, address: String) throws {
        #expect(DataAddress.parseEPRT(bytes(argument)) == .address(try #require(SocketAddress(address))))
    }

    @Test(arguments: [
        ("|3|192.0.2.1|50000|", DataAddress.EPRT.unknownFamily), ("|0|x|y|", .unknownFamily), ("|65535|x|1|", .unknownFamily),
        ("", .malformed), ("|", .malformed), ("||", .malformed), ("|1|192.0.2.1|50000", .malformed),
        ("1|192.0.2.1|50000|", .malformed),
        ("|1|192.0.2.1|50000||", .malformed), ("|1|192.0.2.1|0|", .malformed), ("|1|192.0.2.1|65536|", .malformed),
        ("|1|192.0.2.1|-1|", .malformed), ("|1|192.0.2.1||", .malformed), ("|1||50000|", .malformed),
        ("||192.0.2.1|50000|", .malformed),
        ("|1|2001:db8::1|50000|", .malformed), ("|2|192.0.2.1|50000|", .malformed), ("|2|fe80::1%eth0|50000|", .malformed),
        ("|1|192.0.2.1|50000| ", .malformed), (" |1|192.0.2.1|50000| ", .malformed), ("|+1|192.0.2.1|50000|", .malformed),
        ("|1|localhost|50000|", .malformed), (":2:2001:db8::1:50000:", .malformed),
        ("\u{e9}1\u{e9}192.0.2.1\u{e9}1\u{e9}", .malformed),
    ])
    func refusesOtherEPRTs(argument: String, result: DataAddress.EPRT) {
        #expect(DataAddress.parseEPRT(bytes(argument)) == result)
    }

    @Test(arguments: [
        ("", DataAddress.EPSV.none), ("1", .family(.v4)), ("2", .family(.v6)), ("ALL", .all), ("all", .all),
        ("3", .unknownFamily),
        ("0", .unknownFamily), ("99999", .malformed), ("65535", .unknownFamily), ("IPv4", .malformed), ("-1", .malformed),
        ("1 ", .malformed),
        ("ALL ", .malformed), (" ", .malformed),
    ])
    func readsEPSV(argument: String, result: DataAddress.EPSV) {
        #expect(DataAddress.parseEPSV(bytes(argument)) == result)
    }

    @Test(arguments: [
        "Entering Passive Mode (192,0,2,1,195,80).", "Entering Passive Mode (192,0,2,1,195,80)",
        "Entering Passive Mode 192,0,2,1,195,80",
        "=192,0,2,1,195,80", "192,0,2,1,195,80", "Mode 2 of 3,4: 192,0,2,1,195,80.", "(999,192,0,2,1,195,80)",
        "It is 12, now 192,0,2,1,195,80",
        "1,2,3 192,0,2,1,195,80 5,6,7,8,9,10", "[192,0,2,1,195,80]", "\u{e9}(192,0,2,1,195,80)",
    ])
    func findsTheAddressInA227(text: String) {
        #expect(DataAddress.parse227(Reply(227, text)) == SocketAddress("192.0.2.1:50000"))
    }

    @Test(arguments: [
        "", "Entering Passive Mode", "(192,0,2,1,195)", "(192,0,2,1,0,0)", "(192,0,2,1,256,80)", "(192.0.2.1,195,80)",
        "(192, 0, 2, 1, 195, 80)",
        "(192,0,2,1,195,)", "(192,0,2,1,,80)", "(1921,0,2,1,195,809)", "(-192;0;2;1;195;80)",
    ])
    func findsNoneElsewhere(text: String) {
        #expect(DataAddress.parse227(Reply(227, text)) == nil)
    }

    @Test func looksIntoEveryLineOfA227() {
        let first = Reply(227, first: "Here (192,0,2,1,195,80)", between: [" be kind"], last: "Done")
        let last = Reply(227, first: "Wait", between: ["227 2 3 4"], last: "Passive (192,0,2,1,195,80)")
        #expect(DataAddress.parse227(first) == SocketAddress("192.0.2.1:50000"))
        #expect(DataAddress.parse227(last) == SocketAddress("192.0.2.1:50000"))
    }

    @Test(arguments: [
        ("Entering Extended Passive Mode (|||50000|)", 50000), ("(!!!50000!)", 50000), ("|||1|", 1), ("Mode: ~~~65535~.", 65535),
        ("||| (|||50000|)", 50000), ("((((50000(", 50000), ("$$$00021$", 21), ("||||50000|", 50000),
    ])
    func findsThePortInA229(text: String, port: UInt16) {
        #expect(DataAddress.parse229(Reply(229, text)) == port)
    }

    @Test(arguments: [
        "", "(|||0|)", "(|||65536|)", "(||50000|)", "(|||50000)", "(|||50000!)", "(|1|192.0.2.1|50000|)", "(|||-1|)",
        "(||| 50000|)", "1111111",
        "(|||500000|)", "   50000 ",
    ])
    func findsNoPortElsewhere(text: String) {
        #expect(DataAddress.parse229(Reply(229, text)) == nil)
    }

    @Test func writesWhatItReads() throws {
        for text in ["192.0.2.1:50000", "127.0.0.1:1", "10.255.0.9:65535"] {
            let address = try #require(SocketAddress(text))
            #expect(DataAddress.parsePORT(bytes(DataAddress.portArgument(address))) == address)
            #expect(DataAddress.parseEPRT(bytes(DataAddress.eprtArgument(address))) == .address(address))
            #expect(DataAddress.parse227(.enteringPassive(address)) == address)
            #expect(DataAddress.parse229(.enteringExtendedPassive(port: address.port)) == address.port)
        }
        let v6 = try #require(SocketAddress("[2001:db8::1]:50000"))
        #expect(DataAddress.parseEPRT(bytes(DataAddress.eprtArgument(v6))) == .address(v6))
    }
}
