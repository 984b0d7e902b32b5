/// The names of `Flags` without their dashes, by what follows them. They stand here a second time so that a start and a health
/// check need not have ArgumentParser describe itself first: a test holds the two against each other.
enum FlagNames {
    static let all = lists.union(values).union(switches)

    /// A value follows, each time that they are given.
    static let lists: Set = [
        "listen", "listen-implicit", "backend", "cert", "key", "client-cert-for", "client-cert-allow", "client-cert-deny",
        "client-cert-user", "allow-from", "deny-from", "allow-user", "deny-user", "allow-command", "deny-command",
    ]

    /// A value follows; the last one counts.
    static let values: Set = [
        // Listening, backend.
        "greeting", "backend-data", "backend-pasv-address", "backend-source",
        // TLS.
        "tls-min", "tls-max", "tls-ciphers", "tls-ciphersuites", "tls-groups", "tls-signatures", "tls-session-lifetime",
        "ticket-keys", "ticket-secret-file", "ticket-rotation", "rekey-bytes", "client-cert", "client-ca", "client-cert-depth",
        "client-crl", "client-crl-check", "client-ocsp", "client-cert-login", "key-passphrase-file", "key-passphrase-env",
        "key-passphrase-fd", "key-passphrase-command", "control-tls", "data-tls", "prot-default-explicit", "auth-ssl-prot",
        "implicit-default-prot",
        // Data, access.
        "passive-ports", "passive-address", "passive-port-offset", "passive-port-map", "data-session", "verify-before-store",
        "upload-eof", "active-source-port", "access",
        // Limits and clocks.
        "max-sessions", "max-sessions-per-address", "max-handshake-rate", "max-login-attempts", "max-command-line",
        "max-user-length", "max-password-length", "max-path-length", "max-reply-line", "max-reply-bytes", "max-reply-lines",
        "idle-timeout", "login-timeout", "handshake-timeout", "data-timeout", "connect-timeout", "reply-timeout",
        "drain-timeout", "drain-delay",
        // Operation.
        "admin", "workers", "user", "state-directory", "reload-interval", "log-level", "log-format", "config", "ktls",
    ]

    /// They say yes, or no with "no-" in front; without a value they mean yes.
    static let switches: Set = [
        "autodetect", "hide-backend", "ocsp-fetch", "tls-legacy", "sni-strict", "alpn-strict", "client-ca-names",
        "pbsz-optional", "allow-ccc", "watch",
    ]
}
