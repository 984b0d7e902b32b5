import COpenSSL

/// The libraries that the process runs with, which need not be those that it was built with.
public enum Libraries {
    /// "OpenSSL 3.0.19 27 Jan 2026".
    public static var openSSL: String { String(cString: OpenSSL_version(OPENSSL_VERSION)) }

    /// Has OpenSSL keep its tables to the process's very end. Left to itself it frees them on the way out, while other threads
    /// still use them; and that takes longer than a health check has to. To be called before anything else of OpenSSL.
    public static func keepToTheEnd() { OPENSSL_init_crypto(UInt64(OPENSSL_INIT_NO_ATEXIT), nil) }
}
