public import PKI

/// Versions by their names in the RFCs.
public enum TLSVersion: String, Sendable, CaseIterable, Comparable {
    /// For `TLSPolicy.isLegacy` alone.
    case tls10 = "1.0"
    /// For `TLSPolicy.isLegacy` alone.
    case tls11 = "1.1"
    case tls12 = "1.2"
    case tls13 = "1.3"

    /// Those that are safe.
    public static let allCases: [TLSVersion] = [.tls12, .tls13]

    public static func < (left: TLSVersion, right: TLSVersion) -> Bool { left.rawValue < right.rawValue }
}

/// What the operator chose for TLS. The defaults are Mozilla's "intermediate" recommendation.
public struct TLSPolicy: Sendable, Equatable {
    /// Whether clients show a certificate of their own, and whose are taken.
    public struct ClientCertificates: Sendable, Equatable {
        /// `--client-cert`.
        public enum Demand: String, Sendable, CaseIterable {
            case off
            /// A client may come without one, but not with a bad one.
            case request
            case require
        }

        public var demand: Demand
        /// A file of certificates, or a folder of them: the trusted authorities (`--client-ca`).
        public var authorities: String?
        /// How many authorities may stand between the client's certificate and the trusted one (`--client-cert-depth`).
        public var depth = ClientTrust.defaultDepth
        /// A file of lists of revoked certificates, or a folder of them (`--client-crl`).
        public var revocationLists: String?
        /// `--client-crl-check`.
        public var revocationCheck = RevocationCheck.off
        /// Whether the authorities' responders are asked: `soft` refuses what they call revoked, `hard` what they do not call good
        /// (`--client-ocsp`).
        public var statusCheck = RevocationCheck.off
        /// Where it is not empty, one of these must match (`--client-cert-allow`).
        public var allowed: [CertificateRule] = []
        /// None of these may match (`--client-cert-deny`).
        public var denied: [CertificateRule] = []
        /// Whether the authorities' names are sent to clients, which choose by them; some old ones choke on them
        /// (`--client-ca-names`).
        public var namesAuthorities = true

        public init(_ demand: Demand = .off, authorities: String? = nil) {
            self.demand = demand
            self.authorities = authorities
        }

        /// What is read from.
        public var files: [String] { demand == .off ? [] : [authorities, revocationLists].compactMap { $0 } }
    }

    public var minimumVersion = TLSVersion.tls12
    public var maximumVersion = TLSVersion.tls13
    /// Of TLS 1.2 and older, in OpenSSL's notation; nil for the recommendation.
    public var ciphers: String?
    /// Of TLS 1.3; nil for the recommendation.
    public var ciphersuites: String?
    /// Of the key exchange; nil for the recommendation, with a post-quantum group in front where OpenSSL has one.
    public var groups: String?
    /// Signature algorithms, the server's and clients', in OpenSSL's notation; nil for OpenSSL's own (`--tls-signatures`).
    public var signatures: String?
    /// TLS 1.0 and 1.1, RSA key exchange and CBC ciphers for clients that know nothing better (`--tls-legacy`): readable by
    /// whoever gets the key one day, and open to known attacks.
    public var isLegacy = false
    /// A client that asks for no name, or for one that no certificate has, is turned away (`--sni-strict`).
    public var requiresKnownName = false
    /// A client that offers protocols and none of FTP's is turned away (`--alpn-strict`).
    public var requiresKnownProtocol = true
    /// Bytes sent after which TLS 1.3 changes its keys (`--rekey-bytes`); 0: never.
    public var rekeyBytes = 64 << 30
    /// The kernel may encrypt downloads (`--ktls`, where it can).
    public var usesKernel = false

    /// Mozilla's "intermediate" recommendation.
    static let recommendedCiphers = [
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
        "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-CHACHA20-POLY1305",
    ].joined(separator: ":")
    /// What follows for clients that know none of these. Their signatures with SHA-1 need OpenSSL's lowest security level.
    static let legacyCiphers = [
        "ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA", "AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA256",
        "AES256-SHA256", "AES128-SHA", "AES256-SHA", "@SECLEVEL=0",
    ].joined(separator: ":")
    static let recommendedCiphersuites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
    static let recommendedGroups = "X25519:prime256v1:secp384r1"
    /// Lists of groups of which the first that OpenSSL knows counts: 3.5 has the post-quantum one, earlier ones do not.
    static let defaultGroups = ["X25519MLKEM768:" + recommendedGroups, recommendedGroups]
    /// How long a session can be resumed (`--tls-session-lifetime`). As long as the longest control connection: data connections resume its session. At
    /// most 7 days (RFC 8446 section 4.6.1).
    public var sessionLifetime: Duration = .seconds(24 * 3600)
    /// For everyone who has no rules of his own.
    public var clientCertificates = ClientCertificates()
    /// By the port that clients have connected to.
    public var clientCertificatesByPort: [UInt16: ClientCertificates] = [:]
    /// By the name that clients ask for, in lower case. The name wins over the port.
    public var clientCertificatesByName: [String: ClientCertificates] = [:]

    public init() {}

    /// Every set of rules for clients' certificates.
    public var allClientCertificates: [ClientCertificates] {
        [clientCertificates] + clientCertificatesByPort.values + clientCertificatesByName.values
    }
}
