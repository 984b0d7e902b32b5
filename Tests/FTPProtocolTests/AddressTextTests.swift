import FTPProtocol
import Testing
import Wire

struct AddressTextTests {
    @Test(arguments: [
        ("Connected to 10.0.0.5", "Connected to GW"), ("Connected to: 10.0.0.5:2121.", "Connected to: GW:2121."),
        ("at:10.0.0.5", "at:GW"), ("[fd00::5]:21", "[GW]:21"), ("::ffff:10.0.0.5", "GW"), ("::1 and ::", "GW and GW"),
        ("10.0.0.5", "GW"),
        ("from 198.51.100.7", "from 198.51.100.7"), ("from ::ffff:198.51.100.7:40000", "from ::ffff:198.51.100.7:40000"),
        ("Version 2.3.4", "Version 2.3.4"), ("at 12:30:45", "at 12:30:45"), ("1.2.3.4.5", "1.2.3.4.5"),
        ("face: bad", "face: bad"),
        ("", ""), ("...", "..."), (":::", ":::"), ("(10.0.0.5,10.0.0.6)", "(GW,GW)"),
    ])
    func replacesAddressesOtherThanTheClients(text: String, shown: String) {
        let result = AddressText.replace(in: Array(text.utf8), except: IPAddress(198, 51, 100, 7), by: "GW")
        #expect(String(decoding: result, as: UTF8.self) == shown)
    }

    @Test func aLongWordCostsOnePass() {
        let text = [UInt8](repeating: UInt8(ascii: ":"), count: 60_000)
        #expect(AddressText.replace(in: text, except: .anyV4, by: "GW") == text)
    }
}
