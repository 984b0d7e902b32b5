import COpenSSL

/// The libraries that the process runs with, which need not be those that it was built with.
public enum Libraries {
    /// "OpenSSL 3.0.19 27 Jan 2026".
    public static var openSSL: String { String(cString: OpenSSL_version(OPENSSL_VERSION)) }
}
