import CLinux
import Glibc
import Synchronization

/// Messages for one loop, put in by any thread.
public final class Mailbox<Message: Sendable>: Sendable {
    private let messages = Mutex<[Message]>([])
    fileprivate let descriptor: Int32  // eventfd

    public init() throws(SystemError) {
        descriptor = ftpsgate_eventfd()
        guard descriptor >= 0 else { throw SystemError("eventfd") }
    }

    deinit { close(descriptor) }

    public func post(_ message: Message) {
        messages.withLock { $0.append(message) }
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    fileprivate func take() -> [Message] {
        var counter: UInt64 = 0
        _ = read(descriptor, &counter, 8)
        return messages.withLock { messages in
            defer { messages = [] }
            return messages
        }
    }
}

/// Takes a mailbox's messages out on a loop's thread, in their order.
public final class MailboxReader {
    private let watcher: Watcher

    public init<Message: Sendable>(_ mailbox: Mailbox<Message>, loop: EventLoop, _ onMessage: @escaping (Message) -> Void) {
        watcher = Watcher(descriptor: mailbox.descriptor, loop: loop, trigger: .level, [.read]) { _ in
            for message in mailbox.take() { onMessage(message) }
        }
    }
}
