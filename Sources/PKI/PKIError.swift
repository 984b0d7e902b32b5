import COpenSSL  // whose headers may be the first to bring in `tm`
import Glibc

/// What is wrong with a key or a certificate: one sentence that names the file and, where there is one, the remedy.
public enum PKIError: Error, Equatable, Sendable, CustomStringConvertible {
    case file(path: String, errno: Int32)
    case noCertificate(file: String)
    case damagedCertificate(file: String, reason: String)
    case noKey(file: String)
    case encryptedKey(file: String)
    case noRequest(file: String)
    case mismatch(certificateFile: String, keyFile: String)
    /// The key belongs to a certificate in the file, but not to the first one.
    case notTheFirst(certificateFile: String, keyFile: String)
    case expired(file: String, notAfter: Int64)
    /// One file of an identity is there and the other is not.
    case missing(file: String, beside: String)
    /// Neither a host name nor an address, so that it cannot stand in a certificate.
    case invalidName(String)
    case library(String)

    public var description: String {
        switch self {
        case .file(let path, let number):
            "\(path): \(String(cString: strerror(number)))."
        case .noCertificate(let file):
            "\(file) holds no certificate; it must be PEM with a line \"-----BEGIN CERTIFICATE-----\"."
        case .damagedCertificate(let file, let reason):
            "\(file) holds a certificate that cannot be read: \(reason)."
        case .noKey(let file):
            "\(file) holds no private key that can be read; it must be PEM with a line \"-----BEGIN PRIVATE KEY-----\" or similar."
        case .encryptedKey(let file):
            "The private key in \(file) is encrypted; write it without a password: openssl pkey -in \(file) -out FILE."
        case .noRequest(let file):
            "\(file) holds no certificate request that can be read."
        case .mismatch(let certificateFile, let keyFile):
            "The private key in \(keyFile) does not belong to the certificate in \(certificateFile)."
        case .notTheFirst(let certificateFile, let keyFile):
            "The certificate of the private key in \(keyFile) must stand first in \(certificateFile)."
        case .expired(let file, let notAfter):
            "The certificate in \(file) expired on \(dateText(notAfter)); remove it and its key to have new ones made."
        case .missing(let file, let beside):
            "\(file) is missing, but \(beside) is there; bring it back, or remove \(beside) to have both made anew."
        case .invalidName(let name):
            "\"\(name)\" is neither a host name nor an address that a certificate can hold."
        case .library(let reason):
            "OpenSSL failed: \(reason)."
        }
    }

    /// What OpenSSL said last on this thread.
    static func fromLibrary() -> PKIError { .library(OpenSSLErrors.drain().description) }
}

/// "2027-03-01 12:00:00 UTC" of seconds since 1970.
package func dateText(_ seconds: Int64) -> String {
    var time = time_t(seconds)
    var parts = tm()
    gmtime_r(&time, &parts)
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let day = "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
    return "\(day) \(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) UTC"
}
