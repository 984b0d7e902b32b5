import Glibc
import Testing

@testable import NetIO

struct MailboxTests {
    @Test func messagesOfAnotherThreadArriveInOrder() throws {
        let loop = try EventLoop()
        let mailbox = try Mailbox<Int>()
        var taken: [Int] = []
        let reader = MailboxReader(mailbox, loop: loop) { taken.append($0) }
        try Thread.start(name: "sender") { for number in 0..<10_000 { mailbox.post(number) } }
        #expect(loop.run(until: { taken.count == 10_000 }))
        #expect(taken == Array(0..<10_000))
        withExtendedLifetime(reader) {}
    }

    @Test func messagesPostedBeforeThereIsAReaderAreKept() throws {
        let loop = try EventLoop()
        let mailbox = try Mailbox<String>()
        mailbox.post("early")
        var taken: [String] = []
        let reader = MailboxReader(mailbox, loop: loop) { taken.append($0) }
        #expect(loop.run(until: { taken == ["early"] }))
        withExtendedLifetime(reader) {}
    }

    @Test func aThreadHasItsName() throws {
        let loop = try EventLoop()
        let mailbox = try Mailbox<String>()
        var name: String?
        let reader = MailboxReader(mailbox, loop: loop) { name = $0 }
        try Thread.start(name: "worker-7") {
            let file = RawSocket(open("/proc/thread-self/comm", O_RDONLY))
            var buffer = [UInt8](repeating: 0, count: 32)
            let count = read(file.descriptor, &buffer, buffer.count)
            mailbox.post(String(decoding: buffer[..<max(0, count - 1)], as: UTF8.self))
        }
        #expect(loop.run(until: { name != nil }))
        #expect(name == "worker-7")
        withExtendedLifetime(reader) {}
    }
}
