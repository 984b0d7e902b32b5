import COpenSSL
import Glibc
public import PKI
import Synchronization
import Wire

/// What all TLS connections of the gateway share: identities, versions, ticket keys, rules for clients' certificates. Immutable
/// once made.
///
/// Unchecked: what it is made of is never changed afterwards, but for `made`, which is locked; so every worker may use it.
public final class TLSContext: @unchecked Sendable {
    /// Whom rules for clients' certificates are for. The name wins over the port, and that over everyone.
    enum Scope: Hashable, Sendable {
        case everyone
        case port(UInt16)
        case name(String)
    }

    /// How many there are: one, and one more for each that was replaced and still has connections.
    public static var count: Int { living.load(ordering: .relaxed) }
    private static let living = Atomic<Int>(0)

    public let store: SessionStore
    let policy: TLSPolicy
    /// Identities that serve one name side by side, each with another kind of key; the first group is for clients that ask for
    /// no name, or for an unknown one.
    private let groups: [[TLSIdentity]]
    /// By DNS name, wildcards as they stand in the certificates.
    private let groupByName: [String: Int]
    private let verifications: [Scope: ClientVerification]
    /// Of the first group of identities.
    private let first: [Scope: ServerContext]
    private struct Place: Hashable {
        let group: Int
        let scope: Scope
    }
    /// Of the other groups, each made when the first client asks for its name: it takes OpenSSL half a millisecond and 10 KiB, and
    /// there may be thousands of names.
    private let made = Mutex<[Place: ServerContext]>([:])
    /// By the certificate that they are for.
    private let staples: [[UInt8]: Staple]

    /// Every name in the certificates, wildcards included.
    public var dnsNames: [String] { groupByName.keys.sorted() }

    /// - Parameters:
    ///   - identities: at least one; the first is for clients that ask for no name, or for an unknown one.
    ///   - store: the one of the context that this one replaces, so that its sessions can be resumed.
    ///   - replaced: the context that this one replaces; identities that are in it as well are not checked again.
    public init(
        policy: TLSPolicy, identities: [TLSIdentity], store: SessionStore = SessionStore(), replacing replaced: TLSContext? = nil
    ) throws(TLSConfigurationError) {
        precondition(!identities.isEmpty, "a TLS server needs an identity")
        self.store = store
        self.policy = policy
        staples = Dictionary(identities.compactMap { identity in identity.staple.map { (identity.leaf.der, $0) } }) { first, _ in
            first
        }
        (groups, groupByName) = Self.group(identities)
        var scopes: [Scope: ClientVerification] = [.everyone: try ClientVerification(policy.clientCertificates)]
        for (port, rules) in policy.clientCertificatesByPort { scopes[.port(port)] = try ClientVerification(rules) }
        for (name, rules) in policy.clientCertificatesByName { scopes[.name(name.lowercased())] = try ClientVerification(rules) }
        verifications = scopes
        var first: [Scope: ServerContext] = [:]
        for (scope, verification) in scopes { first[scope] = try ServerContext(policy, groups[0], verification) }
        self.first = first
        // Whatever is thrown from here on, `deinit` runs.
        Self.living.add(1, ordering: .relaxed)
        if groups.count > 1 {
            let trial = try ServerContext(policy, [], scopes[.everyone]!)
            let checked = replaced.map { $0.policy == policy ? $0.keys : [] } ?? []
            for identity in groups.dropFirst().joined() where !checked.contains(ObjectIdentifier(identity.key)) {
                try trial.check(identity)
            }
        }
    }

    deinit { Self.living.subtract(1, ordering: .relaxed) }

    /// Of every identity that OpenSSL has taken. Each reading of an identity makes a key of its own, which so stands for all of it.
    private var keys: Set<ObjectIdentifier> { Set(groups.joined().map { ObjectIdentifier($0.key) }) }

    /// Whether clients that ask for no name can be served at all: in TLS 1.2 and before, ciphers and keys must fit each other.
    public var canServe: Bool {
        guard policy.maximumVersion < .tls13 else { return true }
        return groups[0].contains { initial(.everyone).hasCipher(for: $0.key) }
    }

    /// Who serves which name: of each kind of key the first identity that has it. Certificates of one host need not agree in
    /// all their names for that. There may be thousands.
    private static func group(_ identities: [TLSIdentity]) -> (groups: [[TLSIdentity]], byName: [String: Int]) {
        var groups: [[TLSIdentity]] = []
        func add(_ identity: TLSIdentity, to members: inout [TLSIdentity]) {
            if !members.contains(where: { $0.key.algorithm == identity.key.algorithm }) { members.append(identity) }
        }
        var places: [[String]: Int] = [:]
        func place(_ members: [TLSIdentity]) -> Int {
            let files = members.map(\.certificateFile)
            if let known = places[files] { return known }
            places[files] = groups.count
            groups.append(members)
            return groups.count - 1
        }
        // For clients that ask for no name: the first, and who shares a name with it.
        let first = identities[0].leaf
        let names = Set(first.dnsNames + first.ipAddresses)
        var nameless: [TLSIdentity] = []
        var members: [String: [TLSIdentity]] = [:]
        var inOrder: [String] = []
        for identity in identities {
            let leaf = identity.leaf
            let own = leaf.dnsNames
            if leaf == first || !names.isDisjoint(with: own + leaf.ipAddresses) { add(identity, to: &nameless) }
            for name in own {
                if members[name] == nil { inOrder.append(name) }
                add(identity, to: &members[name, default: []])
            }
        }
        _ = place(nameless)
        var byName: [String: Int] = [:]
        for name in inOrder { byName[name] = members[name].map(place) }
        return (groups, byName)
    }

    /// The group for a name in lower case: a whole name wins over a wildcard, whose "*." stands for one label.
    private func group(for name: String) -> Int? {
        groupByName[name] ?? name.firstIndex(of: ".").flatMap { groupByName["*\(name[$0...])"] }
    }

    /// What to staple to the certificate that a connection shows: the file beside it wins over what its responder said.
    func staple(for shown: OpaquePointer) -> Staple? {
        X509_up_ref(shown)
        guard let der = try? X509Handle(owning: shown).der() else { return nil }
        return staples[der] ?? store.staples.staple(for: der)
    }

    /// Certificates without a file to staple, each with its issuer's.
    public var unstapled: [(certificate: Certificate, issuer: Certificate)] {
        var seen: Set<Certificate> = []
        return groups.joined().compactMap { identity in
            guard identity.staple == nil, identity.chain.count > 1, seen.insert(identity.leaf).inserted else { return nil }
            return (identity.chain[0], identity.chain[1])
        }
    }

    /// What a connection begins with, before its client has said a word.
    func initial(_ scope: Scope) -> ServerContext {
        guard let context = first[scope] ?? first[.everyone] else { preconditionFailure("there are rules for everyone") }
        return context
    }

    /// The identities and the rules for a name; nil where nobody has it and that counts.
    /// - Parameter isFixed: a data connection's scope is its control connection's, whatever name comes with it.
    func select(_ name: String?, _ scope: Scope, isFixed: Bool) -> (ServerContext, Scope)? {
        var scope = scope
        if !isFixed, let name, policy.clientCertificatesByName[name] != nil { scope = .name(name) }
        guard let name else { return policy.requiresKnownName ? nil : (initial(scope), scope) }
        let group = group(for: name)
        // Many clients ask for an address or a name of their own making: the first identity is for them.
        if group == nil, policy.requiresKnownName { return nil }
        return context(group ?? 0, scope).map { ($0, scope) }
    }

    /// Nil where OpenSSL has no memory left.
    private func context(_ group: Int, _ scope: Scope) -> ServerContext? {
        guard group > 0 else { return initial(scope) }
        let scope = verifications[scope] == nil ? .everyone : scope
        return made.withLock { made in
            let place = Place(group: group, scope: scope)
            if let context = made[place] { return context }
            guard let verification = verifications[scope] else { return nil }
            let context = try? ServerContext(policy, groups[group], verification)
            made[place] = context
            return context
        }
    }
}
