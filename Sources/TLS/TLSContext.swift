import COpenSSL
import Glibc
public import PKI
import Synchronization
import Wire

/// What all TLS connections of the gateway share: identities, versions, ticket keys, rules for clients' certificates. Immutable
/// once made.
///
/// Unchecked: what it is made of is never changed afterwards; so every worker may use it.
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
    private var groups: [[TLSIdentity]] = []
    /// By DNS name, wildcards as they stand in the certificates.
    private var groupByName: [String: Int] = [:]
    /// For each group of identities, one for each scope.
    private var contexts: [[Scope: ServerContext]] = []
    private let staples: [Staple]

    /// Every name in the certificates, wildcards included.
    public var dnsNames: [String] { groupByName.keys.sorted() }

    /// - Parameters:
    ///   - identities: at least one; the first is for clients that ask for no name, or for an unknown one.
    ///   - store: the one of the context that this one replaces, so that its sessions can be resumed.
    public init(policy: TLSPolicy, identities: [TLSIdentity], store: SessionStore = SessionStore()) throws(TLSConfigurationError)
    {
        precondition(!identities.isEmpty, "a TLS server needs an identity")
        self.store = store
        self.policy = policy
        self.staples = identities.compactMap(\.staple)
        Self.living.add(1, ordering: .relaxed)
        group(identities)
        var scopes: [Scope: ClientVerification] = [.everyone: try ClientVerification(policy.clientCertificates)]
        for (port, rules) in policy.clientCertificatesByPort { scopes[.port(port)] = try ClientVerification(rules) }
        for (name, rules) in policy.clientCertificatesByName { scopes[.name(name.lowercased())] = try ClientVerification(rules) }
        for group in groups {
            var own: [Scope: ServerContext] = [:]
            for (scope, verification) in scopes {
                own[scope] = try ServerContext(policy, group, verification)
            }
            contexts.append(own)
        }
    }

    deinit { Self.living.subtract(1, ordering: .relaxed) }

    /// Whether clients that ask for no name can be served at all: in TLS 1.2 and before, ciphers and keys must fit each other.
    public var canServe: Bool {
        guard policy.maximumVersion < .tls13 else { return true }
        return groups[0].contains { context(0, .everyone).hasCipher(for: $0.key) }
    }

    /// Who serves which name: of each kind of key the first identity that has it. Certificates of one host need not agree in
    /// all their names for that.
    private func group(_ identities: [TLSIdentity]) {
        func members(_ isWanted: (TLSIdentity) -> Bool) -> [TLSIdentity] {
            var chosen: [TLSIdentity] = []
            for identity in identities
            where isWanted(identity) && !chosen.contains(where: { $0.key.algorithm == identity.key.algorithm }) {
                chosen.append(identity)
            }
            return chosen
        }
        func place(_ members: [TLSIdentity]) -> Int {
            let known = groups.firstIndex { $0.map(\.certificateFile) == members.map(\.certificateFile) }
            if known == nil { groups.append(members) }
            return known ?? groups.count - 1
        }
        // For clients that ask for no name: the first, and who shares a name with it.
        let first = identities[0]
        let names = Set(first.leaf.dnsNames + first.leaf.ipAddresses)
        _ = place(members { $0.leaf == first.leaf || !names.isDisjoint(with: $0.leaf.dnsNames + $0.leaf.ipAddresses) })
        for name in identities.flatMap(\.leaf.dnsNames) where groupByName[name] == nil {
            groupByName[name] = place(members { $0.leaf.dnsNames.contains(name) })
        }
    }

    /// The group for a name in lower case: a whole name wins over a wildcard, whose "*." stands for one label.
    private func group(for name: String) -> Int? {
        groupByName[name] ?? name.firstIndex(of: ".").flatMap { groupByName["*\(name[$0...])"] }
    }

    /// What to staple to the certificate that a connection shows: the file beside it wins over what its responder said.
    func staple(for shown: OpaquePointer) -> Staple? {
        X509_up_ref(shown)
        guard let der = try? X509Handle(owning: shown).der() else { return nil }
        return staples.first { $0.isFor(der) } ?? store.staples.staple(for: der)
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
    func initial(_ scope: Scope) -> ServerContext { context(0, scope) }

    /// The identities and the rules for a name; nil where nobody has it and that counts.
    /// - Parameter isFixed: a data connection's scope is its control connection's, whatever name comes with it.
    func select(_ name: String?, _ scope: Scope, isFixed: Bool) -> (ServerContext, Scope)? {
        var scope = scope
        if !isFixed, let name, policy.clientCertificatesByName[name] != nil { scope = .name(name) }
        guard let name else { return policy.requiresKnownName ? nil : (context(0, scope), scope) }
        let group = group(for: name)
        // Many clients ask for an address or a name of their own making: the first identity is for them.
        if group == nil, policy.requiresKnownName { return nil }
        return (context(group ?? 0, scope), scope)
    }

    private func context(_ group: Int, _ scope: Scope) -> ServerContext {
        guard let context = contexts[group][scope] ?? contexts[group][.everyone] else {
            preconditionFailure("every group has rules for everyone")
        }
        return context
    }
}
