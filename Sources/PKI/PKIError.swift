import COpenSSL  // whose headers may be the first to bring in `tm`
import Glibc

/// What is wrong with a key or a certificate: one sentence that names the file and, where there is one, the remedy.
public enum PKIError: Error, Equatable, Sendable, CustomStringConvertible {
    case file(path: String, errno: Int32)
    case noCertificate(file: String)
    case damagedCertificate(file: String, reason: String)
    case noKey(file: String)
    case encryptedKey(file: String)
    case wrongPassphrase(file: String)
    /// A source that was named gives nothing.
    case noPassphrase(source: String)
    case passphrasesDiffer
    case emptyPassphrase(file: String)
    /// A key that is to be encrypted, and nobody to ask.
    case noNewPassphrase(file: String)
    /// A request that does not say whether it is a server's or a client's.
    case noPurpose(file: String)
    case signedByAnother(file: String, authority: String)
    case trustsSingle(file: String)
    case notTrusted(name: String, path: String)
    case noRequest(file: String)
    case noRevocationList(file: String)
    case noBundle(file: String)
    /// Encrypted with a cipher that OpenSSL 3 has given up.
    case oldBundle(file: String)
    case nothingKnown(file: String)
    case keyExists(file: String)
    case fileExists(file: String)
    /// PEM that begins and does not end.
    case cutShort(file: String, label: String)
    /// For files that are to be made.
    case noName(String)
    case readableKey(file: String)
    case damagedRecord(file: String, line: Int)
    case notAnAuthority(file: String)
    case authorityExpired(file: String, notAfter: Int64)
    case maySignNoRevocations(file: String)
    /// A request that its own key has not signed: whoever sends it need not have that key.
    case forgedRequest
    case mismatch(certificateFile: String, keyFile: String)
    /// The key belongs to a certificate in the file, but not to the first one.
    case notTheFirst(certificateFile: String, keyFile: String)
    case expired(file: String, notAfter: Int64)
    /// One file of an identity is there and the other is not.
    case missing(file: String, beside: String)
    /// Neither a host name nor an address, so that it cannot stand in a certificate.
    case invalidName(String)
    case invalidAddress(String)
    case invalidEmail(String)
    case invalidURI(String)
    /// Nothing for a distinguished name.
    case invalidText(String, flag: String)
    case library(String)

    public var description: String {
        switch self {
        case .file(let path, let number):
            "\(path): \(String(cString: strerror(number)))\(Self.remedy(number))."
        case .noCertificate(let file):
            "\(file) holds no certificate; it must be PEM with a line \"-----BEGIN CERTIFICATE-----\"."
        case .damagedCertificate(let file, let reason):
            "\(file) holds a certificate that cannot be read: \(reason)."
        case .noKey(let file):
            "\(file) holds no private key that can be read; it must be PEM with a line \"-----BEGIN PRIVATE KEY-----\" or similar."
        case .encryptedKey(let file):
            "\(file) is encrypted, and no passphrase was given; name one of --passphrase-file, --passphrase-env, --passphrase-fd and --passphrase-command."
        case .wrongPassphrase(let file):
            "The passphrase does not open \(file); give the one that it was made with."
        case .noPassphrase(let source):
            "No passphrase comes from \(source); see that it is set, or that it works."
        case .passphrasesDiffer:
            "The two passphrases differ, or are empty; try again."
        case .emptyPassphrase(let file):
            "The passphrase for \(file) is empty, and would protect nothing; give one."
        case .noNewPassphrase(let file):
            "\(file) needs a passphrase, and there is no terminal to ask at; name one of --passphrase-file, --passphrase-env, --passphrase-fd and --passphrase-command."
        case .noPurpose(let file):
            "\(file) does not say what the certificate is for; add --for server or --for client."
        case .signedByAnother(let file, let authority):
            "The certificate in \(file) was not signed by the authority in \(authority); name the one that did."
        case .trustsSingle(let file):
            "The certificate in \(file) is no authority's; name its authority's, or trust it alone with --single."
        case .notTrusted(let name, let path):
            "Nothing in \(path) is called \(name); see: ftpsgate cert trust list."
        case .noRequest(let file):
            "\(file) holds no certificate request that can be read; it must be PEM with a line \"-----BEGIN CERTIFICATE REQUEST-----\", or DER."
        case .noRevocationList(let file):
            "\(file) holds no list of revoked certificates; it must be PEM with a line \"-----BEGIN X509 CRL-----\", or DER."
        case .noBundle(let file):
            "\(file) is no PKCS #12 bundle of a key and its certificate; make one with: ftpsgate cert export NAME."
        case .oldBundle(let file):
            "\(file) is encrypted with an old cipher (RC2 or single DES) that OpenSSL does not read any more; export it anew with AES, or with 3DES."
        case .nothingKnown(let file):
            "\(file) holds no certificate, key, request or list of revoked certificates that can be read; it must be PEM, DER or PKCS #12."
        case .keyExists(let file):
            "\(file) is there already, and a lost key cannot be had back; choose another name, use it with --reuse-key, or overwrite it with --force."
        case .fileExists(let file):
            "\(file) is there already; choose another name, or overwrite it with --force."
        case .cutShort(let file, let label):
            "\(file) is cut short: the line \"-----END \(label)-----\" is missing; copy it again."
        case .noName(let text):
            "\"\(text)\" is no name for files; write one such as ftps.example.com, with a folder before it if you like."
        case .readableKey(let file):
            "\(file) can be read by everyone on this machine; protect it with: chmod 600 \(file)."
        case .damagedRecord(let file, let line):
            "Line \(line) of \(file) is not \"SERIAL SECONDS REASON\"; mend it or take it out."
        case .notAnAuthority(let file):
            "The certificate in \(file) may not sign others; make an authority with: ftpsgate cert authority NAME."
        case .authorityExpired(let file, let notAfter):
            "The authority's certificate in \(file) expired on \(dateText(notAfter)); make a new one with: ftpsgate cert authority NAME."
        case .maySignNoRevocations(let file):
            "The authority in \(file) may not sign lists of revoked certificates; use one whose key usage has cRLSign."
        case .forgedRequest:
            "The request is not signed by the key that it names; have its sender make it again."
        case .mismatch(let certificateFile, let keyFile):
            "The private key in \(keyFile) does not belong to the certificate in \(certificateFile)."
        case .notTheFirst(let certificateFile, let keyFile):
            "The certificate of the private key in \(keyFile) must stand first in \(certificateFile)."
        case .expired(let file, let notAfter):
            "The certificate in \(file) expired on \(dateText(notAfter)); remove it and its key to have new ones made."
        case .missing(let file, let beside):
            "\(file) is missing, but \(beside) is there; bring it back, or remove \(beside) to have both made anew."
        case .invalidName(let name):
            "\"\(name)\" is no host name that a certificate can hold; write letters, digits and hyphens, international names in their xn-- form, and * for the first label alone."
        case .invalidAddress(let address):
            "\"\(address)\" is no address that a certificate can hold; write an IPv4 or IPv6 address without a zone or a port."
        case .invalidEmail(let email):
            "\"\(email)\" is no e-mail address that a certificate can hold; write NAME@HOST in plain letters, without commas and quotes."
        case .invalidURI(let uri):
            "\"\(uri)\" is no URI that a certificate can hold; write SCHEME:REST in plain letters, without commas and quotes."
        case .invalidText(let text, let flag):
            "\"\(text)\" cannot stand in a certificate's name: it must have 1 to 64 characters, and no control characters; give another with \(flag)."
        case .library(let reason):
            "OpenSSL failed: \(reason)."
        }
    }

    /// The kernel's number, where a file could not be read or written.
    package var errno: Int32? {
        if case .file(_, let number) = self { number } else { nil }
    }

    /// A file that must be there, and is not.
    public static func missingFile(_ path: String) -> PKIError { .file(path: path, errno: ENOENT) }

    private static func remedy(_ number: Int32) -> String {
        switch number {
        case ENOENT: "; see that the name is right, and that its folder is there"
        case EACCES, EPERM, EROFS: "; run as a user who may, or choose another folder"
        case EISDIR: "; name a file in it"
        case ENOTDIR: "; name a folder"
        case EFBIG: "; name a file of keys or certificates"
        default: ""
        }
    }

    /// What OpenSSL said last on this thread.
    static func fromLibrary() -> PKIError { .library(OpenSSLErrors.drain().description) }
}

/// "2027-03-01 12:00:00 UTC" of seconds since 1970.
public func dateText(_ seconds: Int64) -> String {
    var time = time_t(seconds)
    var parts = tm()
    gmtime_r(&time, &parts)
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let day = "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
    return "\(day) \(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) UTC"
}
