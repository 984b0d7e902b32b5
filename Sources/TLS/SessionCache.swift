import COpenSSL
import Glibc
import Synchronization

/// Sessions of TLS 1.2 clients that take no tickets; all others are in their tickets.
///
/// Our own and not OpenSSL's, which belongs to one SSL_CTX: it would be empty after each reload, and it hands a session to
/// whoever knows its id. Bounded; the oldest goes first.
final class SessionCache: Sendable {
    /// Owns one reference to an SSL_SESSION; OpenSSL counts them atomically.
    private final class Entry: @unchecked Sendable {
        let pointer: OpaquePointer  // SSL_SESSION *
        init(owning pointer: OpaquePointer) { self.pointer = pointer }
        deinit { SSL_SESSION_free(pointer) }
    }

    private struct State {
        var entries: [[UInt8]: Entry] = [:]
        /// Ids in the order of their coming.
        var order: [[UInt8]] = []
        var oldest = 0
    }

    private let state = Mutex(State())
    private let limit: Int

    init(limit: Int = 20_000) { self.limit = limit }

    /// Takes over one reference.
    func keep(_ session: OpaquePointer) {
        let id = Self.id(of: session)
        let entry = Entry(owning: session)
        state.withLock { state in
            if state.entries.updateValue(entry, forKey: id) == nil { state.order.append(id) }
            if state.entries.count > limit {
                state.entries[state.order[state.oldest]] = nil
                state.oldest += 1
            }
            if state.oldest > limit {
                state.order.removeFirst(state.oldest)
                state.oldest = 0
            }
        }
    }

    /// A session with a reference of the caller's own, where `isWanted` says so.
    func find(_ id: UnsafeBufferPointer<UInt8>, where isWanted: (OpaquePointer) -> Bool) -> OpaquePointer? {
        guard let entry = state.withLock({ $0.entries[Array(id)] }), isWanted(entry.pointer) else { return nil }
        SSL_SESSION_up_ref(entry.pointer)
        return entry.pointer
    }

    private static func id(of session: OpaquePointer) -> [UInt8] {
        var count: UInt32 = 0
        let start = SSL_SESSION_get_id(session, &count)
        return Array(UnsafeBufferPointer(start: start, count: Int(count)))
    }
}

/// What resumes sessions, and outlives the contexts: the same before and after a reload.
public final class SessionStore: Sendable {
    public let ticketKeys: TicketKeys
    let cache = SessionCache()
    public let staples = StapleStore()
    let intermediates = Intermediates()
    public let clientStatuses = ClientStatusStore()

    public init(ticketKeys: TicketKeys = TicketKeys()) { self.ticketKeys = ticketKeys }
}
