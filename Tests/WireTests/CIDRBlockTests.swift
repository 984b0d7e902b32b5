import Testing
import Wire

struct CIDRBlockTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.0.0.0/8"), ("10.1.2.3/8", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3/32"), ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.129/25", "192.0.2.128/25"), ("2001:db8::1/32", "2001:db8::/32"), ("::1", "::1/128"), ("::/0", "::/0"),
        ("2001:db8:8000::/33", "2001:db8:8000::/33"), ("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::ffff:10.0.0.1", "10.0.0.1/32"),
    ])
    func readsNetworks(text: String, description: String) throws {
        #expect(try #require(CIDRBlock(text)).description == description)
    }

    @Test(arguments: [
        "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0.0/ 8", "10.0.0.0/a",
        "::/129",
        "10.0.0/8", "10.0.0.0/99999999999999999999", "localhost/8",
    ])
    func refusesOtherTexts(text: String) {
        #expect(CIDRBlock(text) == nil)
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.255.255", true), ("10.0.0.0/8", "11.0.0.0", false), ("0.0.0.0/0", "203.0.113.9", true),
        ("0.0.0.0/0", "2001:db8::1", false), ("::/0", "2001:db8::1", true), ("::/0", "10.0.0.1", false),
        ("192.0.2.128/25", "192.0.2.127", false), ("192.0.2.128/25", "192.0.2.128", true),
        ("10.0.0.0/8", "::ffff:10.1.1.1", true),
        ("::ffff:10.0.0.0/104", "10.1.1.1", true), ("2001:db8::/33", "2001:db8:8000::", false), ("::1", "::1", true),
        ("::1", "::2", false),
    ])
    func knowsItsMembers(network: String, address: String, isMember: Bool) throws {
        #expect(try #require(CIDRBlock(network)).contains(try #require(IPAddress(address))) == isMember)
    }
}
