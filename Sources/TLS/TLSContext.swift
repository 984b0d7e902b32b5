import COpenSSL
import Glibc
public import PKI
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

    public let store: SessionStore
    let policy: TLSPolicy
    /// Identities that share their names and differ in their kind of key.
    private var groups: [[TLSIdentity]] = []
    /// For each group of identities, one for each scope.
    private var contexts: [[Scope: ServerContext]] = []
    private let staples: [Staple]

    /// Every name in the certificates, wildcards included.
    public var dnsNames: [String] { groups.flatMap { $0[0].leaf.dnsNames } }

    /// - Parameters:
    ///   - identities: at least one; the first is for clients that ask for no name, or for an unknown one.
    ///   - store: the one of the context that this one replaces, so that its sessions can be resumed.
    public init(policy: TLSPolicy, identities: [TLSIdentity], store: SessionStore = SessionStore()) throws(TLSConfigurationError)
    {
        precondition(!identities.isEmpty, "a TLS server needs an identity")
        self.store = store
        self.policy = policy
        staples = identities.compactMap(\.staple)
        for identity in identities { add(identity) }
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

    private func add(_ identity: TLSIdentity) {
        let names = Set(identity.leaf.dnsNames)
        let existing = groups.firstIndex { group in
            Set(group[0].leaf.dnsNames) == names && !group.contains { $0.key.algorithm == identity.key.algorithm }
        }
        if let existing {
            groups[existing].append(identity)
        } else {
            groups.append([identity])
        }
    }

    /// What to staple to the certificate that a connection shows: the file beside it wins over what its responder said.
    func staple(for shown: OpaquePointer) -> Staple? {
        X509_up_ref(shown)
        guard let der = try? X509Handle(owning: shown).der() else { return nil }
        return staples.first { $0.isFor(der) } ?? store.staples.staple(for: der)
    }

    /// Certificates without a file to staple, each with its issuer's.
    public var unstapled: [(certificate: Certificate, issuer: Certificate)] {
        groups.joined().compactMap { identity in
            identity.staple == nil && identity.chain.count > 1 ? (identity.chain[0], identity.chain[1]) : nil
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
        // A whole name wins over a wildcard.
        let group =
            groups.firstIndex { $0[0].matches(name, wildcards: false) }
            ?? groups.firstIndex { $0[0].matches(name, wildcards: true) }
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
