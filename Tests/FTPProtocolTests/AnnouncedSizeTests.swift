import FTPProtocol
import Testing

struct AnnouncedSizeTests {
    @Test(arguments: [
        (150, "Opening BINARY mode data connection for file (1048576 bytes).", 1_048_576),
        (150, "Opening BINARY mode data connection for a (7 bytes).bin (70000000000 bytes)", 70_000_000_000),
        (125, "Data connection open; transfer starting (0 bytes).", 0), (150, "1 byte", 1),
        (150, "4096.0 kbytes to download", 4097 * 1024), (150, "0.6 kbytes to download", 1024), (150, "12 Mbytes", 12 << 20),
    ])
    func whatServersSay(code: Int, text: String, count: Int) {
        #expect(Reply(code, text).announcedSize == count)
    }

    @Test(arguments: [
        (150, "File status okay; about to open data connection."), (125, "Data connection already open; Transfer starting."),
        (150, "bytes"), (150, "(-5 bytes)"), (150, "(many bytes)"), (150, "99999999999999999999 bytes"),
        (150, "9223372036854775807 kbytes"), (150, ""), (226, "Done (5 bytes)."),
    ])
    func whatSaysNothing(code: Int, text: String) {
        #expect(Reply(code, text).announcedSize == nil)
    }

    @Test func theLastLineCounts() {
        let reply = Reply(150, first: "Accepted data connection (1 bytes)", between: [], last: "3.0 kbytes to download")
        #expect(reply.announcedSize == 4 * 1024)
    }
}
