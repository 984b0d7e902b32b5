/// Versions by their names in the RFCs.
public enum TLSVersion: String, Sendable, CaseIterable, Comparable {
    case tls12 = "1.2"
    case tls13 = "1.3"

    public static func < (left: TLSVersion, right: TLSVersion) -> Bool { left.rawValue < right.rawValue }
}

/// What the operator chose for TLS. The defaults are Mozilla's "intermediate" recommendation.
public struct TLSPolicy: Sendable, Equatable {
    /// Whether clients show a certificate of their own (`--client-cert`), and who is trusted to have signed it: a PEM file, or
    /// a folder of them.
    public enum ClientCertificate: Sendable, Equatable {
        case off
        /// A client may come without one, but not with a bad one.
        case request(authorities: String)
        case require(authorities: String)

        public var authorities: String? {
            switch self {
            case .off: nil
            case .request(let path), .require(let path): path
            }
        }
    }

    public var minimumVersion = TLSVersion.tls12
    public var maximumVersion = TLSVersion.tls13
    /// TLS 1.2, in OpenSSL's notation.
    public var ciphers = [
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
        "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-CHACHA20-POLY1305",
    ].joined(separator: ":")
    /// TLS 1.3.
    public var ciphersuites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
    public var groups = "X25519:prime256v1:secp384r1"
    /// How long a session can be resumed. As long as the longest control connection: data connections resume its session. At
    /// most 7 days (RFC 8446 section 4.6.1).
    public var sessionLifetime: Duration = .seconds(24 * 3600)
    public var clientCertificate = ClientCertificate.off

    public init() {}
}
