import Synchronization
import TLS
import Wire

/// Which sessions wait for their clients on which passive port, over all workers: who gets a port, who shares one, who waits
/// until one is free, and to whom a new connection belongs (DESIGN 3.11.3). Decisions only; no sockets.
///
/// The one table that workers share, locked for moments. While ports are free, no two sessions of one client address wait on
/// the same. When all are taken, sessions share a port where a connection says by its TLS session whose it is; the others wait
/// in turn, first come first served.
final class WaitingPlans: Sendable {
    struct ID: Hashable, Sendable { fileprivate let rawValue: UInt64 }

    /// Who wants a port.
    struct Wish: Sendable {
        /// Where the session lives.
        let worker: Int
        let client: IPAddress
        /// The control connection's.
        let tag: SessionTag
        /// Equal for control connections of which one has resumed the other's TLS session.
        let lineage: SessionTag
        let user: String
        /// The data connection is to be TLS.
        var isProtected: Bool
        /// The client has shown that its data connections resume: the next one will say whose it is.
        let isTellable: Bool
    }

    /// What a session's worker has to be told.
    enum Notice: Sendable, Equatable {
        /// It has waited for a port, and has it now.
        case promised(ID, port: UInt16)
        /// A connection was turned away that may have been this session's.
        case turnedAway(ID)
    }

    /// What is to become of a connection.
    enum Verdict: Sendable, Equatable {
        /// It belongs to this session, if anything; where proof is needed, only with its TLS session resumed.
        case owner(ID, worker: Int, needsProof: Bool)
        /// It may have been meant for any of these; where there are very many, not all are named.
        case ambiguous([ID])
        /// Nobody waits for it.
        case stray
    }

    /// What can be said of a connection that has said nothing yet.
    enum FirstLook: Sendable, Equatable {
        /// One session of this address waits here. Where it is certain, no first bytes could say otherwise: nobody else waits
        /// on the port, and who comes to wait there later has clients that come later.
        case sole(ID, worker: Int, isCertain: Bool)
        /// Its first bytes will tell whose it is.
        case undecided(candidates: Int)
        case stray
    }

    private struct Entry {
        let wish: Wish
        var port: UInt16?
        var isExclusive: Bool
    }

    /// Sessions of one client address that wait on one port.
    private struct Group {
        var members: Set<ID> = []
        var users: [String: Int] = [:]
        var lineages: [SessionTag: Int] = [:]
        var exclusive = 0

        /// Whether one more can be told apart from those here.
        func admits(_ entry: Entry) -> Bool {
            if members.isEmpty { return true }
            return exclusive == 0 && !entry.isExclusive && !isRelated(to: entry.wish)
        }

        /// Programs mix up the TLS sessions of control connections that have one in common, or that one user opened.
        func isRelated(to wish: Wish) -> Bool { users[wish.user] != nil || lineages[wish.lineage] != nil }

        mutating func add(_ id: ID, _ entry: Entry) {
            members.insert(id)
            users[entry.wish.user, default: 0] += 1
            lineages[entry.wish.lineage, default: 0] += 1
            if entry.isExclusive { exclusive += 1 }
        }

        mutating func remove(_ id: ID, _ entry: Entry) {
            members.remove(id)
            users[entry.wish.user] = users[entry.wish.user].flatMap { $0 > 1 ? $0 - 1 : nil }
            lineages[entry.wish.lineage] = lineages[entry.wish.lineage].flatMap { $0 > 1 ? $0 - 1 : nil }
            if entry.isExclusive { exclusive -= 1 }
        }
    }

    /// Sessions of one client address that have no port yet, in the order in which they came.
    private struct Queue {
        var ids: [ID] = []
        /// Those among them that need a port without others of their address.
        var exclusive = 0
    }

    private struct Place: Hashable {
        let port: UInt16
        let client: IPAddress
    }

    private struct Port {
        let number: UInt16
        /// Who listens on it.
        let worker: Int
        var waiting = 0
        var lastUsed: Duration?
    }

    private struct State {
        var nextID: UInt64 = 0
        var ports: [Port] = []
        var indexOfPort: [UInt16: Int] = [:]
        var entries: [ID: Entry] = [:]
        var groups: [Place: Group] = [:]
        var byTag: [SessionTag: ID] = [:]
        /// By client address; none is empty.
        var queues: [IPAddress: Queue] = [:]
    }

    private let state = Mutex(State())
    private let notify: @Sendable (_ worker: Int, Notice) -> Void

    /// A port that was just used is left alone for so long while others are free: what comes late for its last session must
    /// not meet the next.
    private static let quarantine: Duration = .seconds(2)
    /// Ports looked at for one out of quarantine.
    private static let quarantineSearch = 16
    /// Queued sessions looked at for one that a port has become free for.
    private static let queueSearch = 64
    /// Sessions that are told of one connection that may have been theirs: one stranger must not keep thousands busy.
    private static let ambiguityLimit = 256

    /// - Parameter notify: is called on any thread, outside of the lock.
    init(notify: @escaping @Sendable (_ worker: Int, Notice) -> Void) { self.notify = notify }

    // MARK: - Ports

    /// These are listened on from here on.
    func open(_ ports: [UInt16], worker: Int) {
        let notices = state.withLock { state in
            var notices: [(Int, Notice)] = []
            for port in ports where state.indexOfPort[port] == nil {
                state.indexOfPort[port] = state.ports.count
                state.ports.append(Port(number: port, worker: worker))
                for client in state.queues.keys { notices += Self.serveQueue(of: client, at: port, &state) }
            }
            return notices
        }
        send(notices)
    }

    var portCount: Int { state.withLock { $0.ports.count } }

    // MARK: - Waiting

    /// - Parameters:
    ///   - start: a random number, so that nobody can tell which port comes next.
    ///   - now: the time of the caller's clock, which is that of all.
    /// - Returns: the port; nil where the session has to wait for one, and is told later.
    func reserve(_ wish: Wish, start: Int, now: Duration) -> (ID, port: UInt16?) {
        state.withLock { state in
            state.nextID += 1
            let id = ID(rawValue: state.nextID)
            var entry = Entry(wish: wish, port: nil, isExclusive: !wish.isTellable || !wish.isProtected)
            state.byTag[wish.tag] = id
            if Self.mayOvertake(entry, state.queues[wish.client]),
                let port = Self.freePort(for: entry, start, now, state) ?? Self.sharedPort(for: entry, state)
            {
                entry.port = port
                state.entries[id] = entry
                Self.join(id, entry, at: port, &state)
            } else {
                state.entries[id] = entry
                state.queues[wish.client, default: Queue()].ids.append(id)
                if entry.isExclusive { state.queues[wish.client]?.exclusive += 1 }
            }
            return (id, entry.port)
        }
    }

    /// The session waits no more: its client has come, or will not.
    func release(_ id: ID, now: Duration) {
        let notices = state.withLock { state in
            guard let entry = state.entries.removeValue(forKey: id) else { return [] as [(Int, Notice)] }
            if state.byTag[entry.wish.tag] == id { state.byTag[entry.wish.tag] = nil }
            let client = entry.wish.client
            guard let port = entry.port else {
                Self.leaveQueue(id, entry, &state)
                // It may have kept those behind it from ports that they can share.
                return entry.isExclusive ? Self.serveQueue(of: client, at: nil, &state) : []
            }
            Self.leave(id, entry, from: port, &state)
            if let index = state.indexOfPort[port] { state.ports[index].lastUsed = now }
            return Self.serveQueue(of: client, at: port, &state)
        }
        send(notices)
    }

    /// Others may share the port from here on, though this client has not shown that it resumes: it has taken its time.
    func endExclusivity(of id: ID) {
        let notices = state.withLock { state in
            // A connection in the clear can never be told apart.
            guard var entry = state.entries[id], let port = entry.port, entry.isExclusive, entry.wish.isProtected else {
                return [] as [(Int, Notice)]
            }
            entry.isExclusive = false
            state.entries[id] = entry
            state.groups[Place(port: port, client: entry.wish.client)]?.exclusive -= 1
            return Self.serveQueue(of: entry.wish.client, at: port, &state)
        }
        send(notices)
    }

    /// PROT has come between PASV and the connection.
    func setProtected(_ isProtected: Bool, _ id: ID) {
        state.withLock { state in
            guard var entry = state.entries[id] else { return }
            var wish = entry.wish
            wish.isProtected = isProtected
            entry = Entry(wish: wish, port: entry.port, isExclusive: entry.isExclusive)
            state.entries[id] = entry
        }
    }

    // MARK: - Connections

    func firstLook(port: UInt16, client: IPAddress) -> FirstLook {
        state.withLock { state in
            guard let index = state.indexOfPort[port], state.ports[index].waiting > 0 else { return .stray }
            let members = state.groups[Place(port: port, client: client)]?.members ?? []
            // Only where one port has to do for everybody, a stranger may turn out to be somebody.
            if members.isEmpty, state.ports.count > 1 { return .stray }
            guard members.count == 1, let id = members.first, let entry = state.entries[id] else {
                return .undecided(candidates: members.count)
            }
            let isCertain = !entry.wish.isProtected || state.ports[index].waiting == 1
            return .sole(id, worker: entry.wish.worker, isCertain: isCertain)
        }
    }

    /// What `judge` says whatever the connection means to resume; nil where that counts.
    func judgeAlone(port: UInt16, client: IPAddress) -> Verdict? {
        state.withLock { state in
            guard let index = state.indexOfPort[port], state.ports[index].waiting == 1,
                let id = state.groups[Place(port: port, client: client)]?.members.first, let entry = state.entries[id]
            else { return nil }
            return .owner(id, worker: entry.wish.worker, needsProof: false)
        }
    }

    /// - Parameter tag: whose TLS session the connection means to resume.
    func judge(port: UInt16, client: IPAddress, tag: SessionTag?) -> Verdict {
        state.withLock { state in
            let group = state.groups[Place(port: port, client: client)] ?? Group()
            if let tag, let id = state.byTag[tag], let entry = state.entries[id], entry.port == port {
                if entry.wish.client == client {
                    return .owner(id, worker: entry.wish.worker, needsProof: group.members.count > 1)
                }
                // From another of the client's addresses: behind large translators that happens. But not where the sessions may
                // have been mixed up with one that waits here from this very address.
                if !group.isRelated(to: entry.wish) { return .owner(id, worker: entry.wish.worker, needsProof: true) }
            }
            guard let id = group.members.first, let entry = state.entries[id] else { return .stray }
            guard group.members.count == 1 else {
                return .ambiguous(group.members.prefix(Self.ambiguityLimit).sorted { $0.rawValue < $1.rawValue })
            }
            return .owner(id, worker: entry.wish.worker, needsProof: false)
        }
    }

    /// Whether it is the only one of its address on its port.
    func isSole(_ id: ID) -> Bool {
        state.withLock { state in
            guard let entry = state.entries[id], let port = entry.port else { return false }
            return state.groups[Place(port: port, client: entry.wish.client)]?.members.count == 1
        }
    }

    /// Tells those who may have been meant by a connection that was turned away.
    func turnedAway(_ ids: [ID]) {
        let notices = state.withLock { state in
            ids.compactMap { id in state.entries[id].map { ($0.wish.worker, Notice.turnedAway(id)) } }
        }
        send(notices)
    }

    // MARK: - Under the lock

    private func send(_ notices: [(Int, Notice)]) {
        for (worker, notice) in notices { notify(worker, notice) }
    }

    /// A port that nobody of this address waits on: of the own worker before those of others, whose connections would have to
    /// be handed over.
    private static func freePort(for entry: Entry, _ start: Int, _ now: Duration, _ state: borrowing State) -> UInt16? {
        var others: UInt16?
        var quarantined: UInt16?
        var looks = 0
        let count = state.ports.count
        guard count > 0 else { return nil }
        for offset in 0..<count {
            let port = state.ports[(start + offset) % count]
            guard port.waiting == 0 || state.groups[Place(port: port.number, client: entry.wish.client)] == nil else { continue }
            guard port.worker == entry.wish.worker else {
                others = others ?? port.number
                continue
            }
            if port.lastUsed.map({ now - $0 >= quarantine }) ?? true { return port.number }
            quarantined = quarantined ?? port.number
            looks += 1
            if looks == quarantineSearch { break }
        }
        return quarantined ?? others
    }

    /// A port whose sessions of this address can be told apart from this one, the emptiest of them.
    private static func sharedPort(for entry: Entry, _ state: borrowing State) -> UInt16? {
        var best: (port: UInt16, count: Int)?
        for port in state.ports {
            guard let group = state.groups[Place(port: port.number, client: entry.wish.client)], group.admits(entry) else {
                continue
            }
            if group.members.count < best?.count ?? .max { best = (port.number, group.members.count) }
        }
        return best?.port
    }

    /// Nobody goes by those who need a port to themselves, or they would never get one. Others may: who waits because a
    /// session of the same user is on the port is no reason to hold back a third.
    private static func mayOvertake(_ entry: Entry, _ queue: Queue?) -> Bool {
        guard let queue else { return true }
        return !entry.isExclusive && queue.exclusive == 0
    }

    /// - Parameter port: the only one where something has changed; nil: any may do.
    private static func serveQueue(of client: IPAddress, at port: UInt16?, _ state: inout State) -> [(Int, Notice)] {
        guard var queue = state.queues.removeValue(forKey: client) else { return [] }
        var notices: [(Int, Notice)] = []
        var position = 0
        while position < min(queue.ids.count, queueSearch) {
            let id = queue.ids[position]
            guard var entry = state.entries[id] else { preconditionFailure("who is queued has an entry") }
            guard let found = place(for: entry, at: port, state) else {
                if entry.isExclusive { break }
                position += 1
                continue
            }
            queue.ids.remove(at: position)
            if entry.isExclusive { queue.exclusive -= 1 }
            entry.port = found
            state.entries[id] = entry
            join(id, entry, at: found, &state)
            notices.append((entry.wish.worker, .promised(id, port: found)))
        }
        if !queue.ids.isEmpty { state.queues[client] = queue }
        return notices
    }

    private static func place(for entry: Entry, at port: UInt16?, _ state: borrowing State) -> UInt16? {
        guard let port else { return freePort(for: entry, 0, .zero, state) ?? sharedPort(for: entry, state) }
        let group = state.groups[Place(port: port, client: entry.wish.client)]
        return group?.admits(entry) ?? true ? port : nil
    }

    private static func leaveQueue(_ id: ID, _ entry: Entry, _ state: inout State) {
        guard var queue = state.queues.removeValue(forKey: entry.wish.client) else { return }
        queue.ids.removeAll { $0 == id }
        if entry.isExclusive { queue.exclusive -= 1 }
        if !queue.ids.isEmpty { state.queues[entry.wish.client] = queue }
    }

    private static func join(_ id: ID, _ entry: Entry, at port: UInt16, _ state: inout State) {
        // In place: there may be thousands in it.
        state.groups[Place(port: port, client: entry.wish.client), default: Group()].add(id, entry)
        if let index = state.indexOfPort[port] { state.ports[index].waiting += 1 }
    }

    private static func leave(_ id: ID, _ entry: Entry, from port: UInt16, _ state: inout State) {
        let place = Place(port: port, client: entry.wish.client)
        state.groups[place]?.remove(id, entry)
        if state.groups[place]?.members.isEmpty == true { state.groups[place] = nil }
        if let index = state.indexOfPort[port] { state.ports[index].waiting -= 1 }
    }
}
