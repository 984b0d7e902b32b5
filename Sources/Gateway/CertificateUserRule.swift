import PKI

/// One way in which a certificate names the users that its holder may log in as (`--client-cert-user`).
public struct CertificateUserRule: Sendable, Equatable {
    /// Where the name stands.
    public enum Field: String, Sendable, CaseIterable { case cn, email, dns, uri, upn }

    public var field: Field
    /// What the field must look like around the name: texts before and after it. Nil: the whole field is the name.
    public var surroundings: Surroundings?

    public struct Surroundings: Sendable, Equatable {
        public var before: String
        public var after: String
        public init(before: String, after: String) {
            self.before = before
            self.after = after
        }
    }

    public init(field: Field, surroundings: Surroundings? = nil) {
        self.field = field
        self.surroundings = surroundings
    }

    /// The users that the certificate names; empty where it names none.
    func users(of certificate: Certificate) -> [String] {
        let details = certificate.details
        let texts =
            switch field {
            case .cn: details.commonName.map { [$0] } ?? []
            case .email: details.emails
            case .dns: certificate.dnsNames
            case .uri: details.uris
            case .upn: details.principalNames
            }
        return texts.compactMap(name)
    }

    private func name(in text: String) -> String? {
        // A NUL in a name has fooled others: to them it ended there.
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 32 && $0 != 127 }) else { return nil }
        guard let surroundings else { return text }
        guard text.hasPrefix(surroundings.before), text.hasSuffix(surroundings.after),
            text.utf8.count > surroundings.before.utf8.count + surroundings.after.utf8.count
        else { return nil }
        return String(text.dropFirst(surroundings.before.count).dropLast(surroundings.after.count))
    }
}
