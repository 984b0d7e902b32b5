import Testing
import Wire

struct IPAddressTests {
    @Test(arguments: [
        ("0.0.0.0", [0, 0, 0, 0]), ("192.0.2.1", [192, 0, 2, 1]), ("255.255.255.255", [255, 255, 255, 255]),
    ])
    func readsDottedQuads(text: String, octets: [UInt8]) throws {
        let ip = try #require(IPAddress(text))
        #expect(ip.family == .v4)
        #expect(ip.octets == octets)
        #expect(ip.description == text)
    }

    @Test(arguments: [
        "", ".", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "256.1.1.1", "1.1.1.999", "01.2.3.4", "1.2.3.00",
        "0x1.2.3.4",
        "1.2.3.+4", "1.2.3.-4", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4\0", "1.2.3.٤", "1.2.3.4567", "a.b.c.d", "1,2,3,4",
    ])
    func refusesOtherTextsForIPv4(text: String) {
        #expect(IPAddress(text) == nil)
    }

    /// Each is written back as RFC 5952 wants it.
    @Test(arguments: [
        ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("2001:DB8::1", "2001:db8::1"), ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("0:0:1:0:0:0:1:0", "0:0:1::1:0"), ("1:0:0:2:0:0:3:4", "1::2:0:0:3:4"),
        ("1:2:3:0:5:6:7:8", "1:2:3:0:5:6:7:8"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"), ("::FFFF:c000:0201", "::ffff:192.0.2.1"),
        ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
        ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"), ("00ab::0001", "ab::1"), ("fe80::1", "fe80::1"),
    ])
    func readsIPv6(text: String, canonical: String) throws {
        let ip = try #require(IPAddress(text))
        #expect(ip.family == .v6)
        #expect(ip.description == canonical)
        #expect(IPAddress(ip.description) == ip)
    }

    @Test(arguments: [
        ":", ":::", "1:::2", "::1::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8",
        ":1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:", "12345::", "g::", "::-1", "::+1", ":: 1", "[::1]", "fe80::1%eth0", "::1.2.3", "::1.2.3.4.5",
        "::1.2.3.4:5",
        "1.2.3.4::", "1:1.2.3.4::5", "1.2.3.4:1:2:3:4:5:6", "::256.1.1.1", "1:2:3:4:5:6:7:1.2.3.4",
    ])
    func refusesOtherTextsForIPv6(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func takesFourOrSixteenOctets() {
        #expect(IPAddress(octets: [1, 2, 3, 4])?.description == "1.2.3.4")
        #expect(IPAddress(octets: [UInt8](repeating: 0, count: 16)) == .anyV6)
        for count in [0, 3, 5, 15, 17] { #expect(IPAddress(octets: [UInt8](repeating: 1, count: count)) == nil) }
    }

    @Test func unmapsMappedAddressesAlone() {
        #expect(IPAddress("::ffff:192.0.2.1")?.unmapped == IPAddress(192, 0, 2, 1))
        for text in ["192.0.2.1", "::192.0.2.1", "::fffe:192.0.2.1", "64:ff9b::192.0.2.1"] {
            #expect(IPAddress(text)?.unmapped == IPAddress(text))
        }
    }

    @Test func knowsSpecialAddresses() throws {
        func all(_ texts: [String], _ property: (IPAddress) -> Bool) throws -> Bool {
            try texts.allSatisfy { property(try #require(IPAddress($0))) }
        }
        func none(_ texts: [String], _ property: (IPAddress) -> Bool) throws -> Bool { try all(texts) { !property($0) } }
        #expect(try all(["0.0.0.0", "::"], \.isUnspecified))
        #expect(try none(["0.0.0.1", "::1"], \.isUnspecified))
        #expect(try all(["127.0.0.1", "127.255.0.9", "::1"], \.isLoopback))
        #expect(try none(["128.0.0.1", "::2", "1::1"], \.isLoopback))
        #expect(try all(["169.254.0.1", "fe80::1", "febf::1"], \.isLinkLocal))
        #expect(try none(["169.253.0.1", "fec0::1"], \.isLinkLocal))
        #expect(try all(["224.0.0.1", "239.1.1.1", "ff02::1"], \.isMulticast))
        #expect(try none(["223.0.0.1", "240.0.0.1", "fe02::1"], \.isMulticast))
        #expect(try all(["10.0.0.1", "172.16.0.1", "172.31.9.9", "192.168.1.1", "fc00::1", "fdff::1"], \.isPrivate))
        #expect(try none(["11.0.0.1", "172.15.0.1", "172.32.0.1", "192.169.1.1", "fe00::1", "2001:db8::1"], \.isPrivate))
    }
}
