import COpenSSL
import Glibc

/// An X.509 certificate as a plain value: its bytes, and what they say. Copies share one object.
public struct Certificate: Sendable, Hashable {
    private final class Contents: Sendable {
        let der: [UInt8]
        let subject: String
        let names: AlternativeNames
        let notBefore: Int64
        let notAfter: Int64
        let sha256Fingerprint: String
        /// What it was read as, where it is to be used: OpenSSL takes far longer for a certificate's key than for all the rest.
        let read: X509Handle?

        init(_ handle: X509Handle, isKept: Bool) throws(PKIError) {
            read = isKept ? handle : nil
            let x509 = handle.pointer
            der = try handle.der()
            subject = text(of: X509_get_subject_name(x509))
            names = alternativeNames(of: x509)
            guard let from = seconds(X509_get0_notBefore(x509)), let until = seconds(X509_get0_notAfter(x509)) else {
                throw .library("a certificate's dates cannot be read")
            }
            (notBefore, notAfter) = (from, until)
            sha256Fingerprint = fingerprint(of: x509, EVP_sha256())
        }
    }

    private let contents: Contents

    public var der: [UInt8] { contents.der }
    /// RFC 2253: "CN=ftps.example.com,O=Example".
    public var subject: String { contents.subject }
    /// The DNS names of its subjectAltName, in lower case; may begin with "*.".
    public var dnsNames: [String] { contents.names.dns }
    /// The addresses of its subjectAltName.
    public var ipAddresses: [String] { contents.names.ip }
    /// Seconds since 1970.
    public var notBefore: Int64 { contents.notBefore }
    /// Seconds since 1970.
    public var notAfter: Int64 { contents.notAfter }
    /// "AB:CD:…", as `openssl x509 -fingerprint -sha256` prints it.
    public var sha256Fingerprint: String { contents.sha256Fingerprint }

    public init(der: [UInt8]) throws(PKIError) {
        try self.init(try X509Handle(der: der))
    }

    public static func == (left: Certificate, right: Certificate) -> Bool { left.der == right.der }

    public func hash(into hasher: inout Hasher) { hasher.combine(der) }

    /// The certificate as OpenSSL knows it; never to be changed.
    package func handle() throws(PKIError) -> X509Handle {
        if let read = contents.read { return read }
        return try X509Handle(der: der)
    }

    /// All certificates in a file, in its order; at least one. PEM, also with text between and a key beside them, or one
    /// certificate in DER.
    public static func readAll(file: String) throws(PKIError) -> [Certificate] {
        try readAll(try File.read(file), file: file)
    }

    /// - Parameter file: the name that an error tells.
    static func readAll(_ bytes: [UInt8], file: String) throws(PKIError) -> [Certificate] {
        if bytes.first == 0x30 {
            guard let handle = try? X509Handle(der: bytes), let certificate = try? Certificate(handle, isKept: true) else {
                throw .damagedCertificate(file: file, reason: "it is neither PEM nor a certificate in DER")
            }
            guard certificate.der.count == bytes.count else {
                throw .damagedCertificate(
                    file: file, reason: "something follows it; in DER a file holds one, in PEM as many as you like")
            }
            return [certificate]
        }
        return try readAll(pem: bytes, file: file)
    }

    /// - Parameter file: the name that an error tells.
    static func readAll(pem: [UInt8], file: String) throws(PKIError) -> [Certificate] {
        let bio = MemoryBIO(pem)
        var certificates: [Certificate] = []
        ERR_clear_error()
        while let pointer = PEM_read_bio_X509(bio.pointer, nil, nil, nil) {
            certificates.append(try Certificate(X509Handle(owning: pointer), isKept: true))
        }
        let errors = OpenSSLErrors.drain()
        // The end of the file is an error as well: no further start line.
        let isEnd = errors.codes.last.map { ERR_GET_LIB($0) == ERR_LIB_PEM && ERR_GET_REASON($0) == PEM_R_NO_START_LINE } ?? true
        guard isEnd else { throw .damagedCertificate(file: file, reason: errors.description) }
        guard !certificates.isEmpty else { throw .noCertificate(file: file) }
        return certificates
    }

    public var pem: String {
        guard let handle = try? handle() else { preconditionFailure("these bytes were a certificate before") }
        let bio = MemoryBIO()
        precondition(PEM_write_bio_X509(bio.pointer, handle.pointer) == 1, "a certificate can be written to memory")
        return bio.text
    }

    /// PEM, readable by everyone: it is public.
    public func write(to path: String) throws(PKIError) {
        try Self.write([self], to: path)
    }

    /// A chain in one file: the one that a key belongs to first.
    public static func write(_ chain: [Certificate], to path: String) throws(PKIError) {
        try File.write(Array(chain.map(\.pem).joined().utf8), to: path, mode: 0o644)
    }

    /// "RSA", "EC", "ED25519".
    var keyAlgorithm: String { PKI.keyAlgorithm(of: (try? handle()).flatMap { X509_get0_pubkey($0.pointer) }) }

    public func matches(_ key: PrivateKey) -> Bool {
        guard let handle = try? handle() else { return false }
        defer { ERR_clear_error() }  // a mismatch is an answer here
        return X509_check_private_key(handle.pointer, key.pointer) == 1
    }

    /// - Parameter isKept: keeps the handle, some kilobytes, for as long as the value lives.
    package init(_ handle: X509Handle, isKept: Bool = false) throws(PKIError) {
        contents = try Contents(handle, isKept: isKept)
    }
}

/// Owns one reference to an `X509`.
///
/// Unchecked: nobody changes a certificate once it is read, and what OpenSSL notes in it later it notes under a lock.
package final class X509Handle: @unchecked Sendable {
    package let pointer: OpaquePointer  // X509 *

    package init(owning pointer: OpaquePointer) { self.pointer = pointer }

    package convenience init(der: [UInt8]) throws(PKIError) {
        let pointer = der.withUnsafeBufferPointer { bytes in
            var start = bytes.baseAddress
            return d2i_X509(nil, &start, bytes.count)
        }
        guard let pointer else { throw .fromLibrary() }
        self.init(owning: pointer)
    }

    deinit { X509_free(pointer) }

    package func der() throws(PKIError) -> [UInt8] {
        let count = i2d_X509(pointer, nil)
        guard count > 0 else { throw .fromLibrary() }
        return [UInt8](unsafeUninitializedCapacity: Int(count)) { buffer, used in
            var start = buffer.baseAddress
            used = Int(i2d_X509(pointer, &start))
        }
    }
}

func text(of name: OpaquePointer?) -> String {
    let bio = MemoryBIO()
    // Not escaped beyond ASCII: names are for people.
    let flags = shim_XN_FLAG_RFC2253 & ~UInt(ASN1_STRFLGS_ESC_MSB)
    X509_NAME_print_ex(bio.pointer, name, 0, flags)
    return bio.text
}

/// What stands in a subjectAltName.
struct AlternativeNames {
    var dns: [String] = []
    var ip: [String] = []
    var emails: [String] = []
    var uris: [String] = []
    var principalNames: [String] = []

    /// - Parameter names: GENERAL_NAMES *, freed here.
    init(_ names: OpaquePointer?) {
        guard let names else { return }
        defer { GENERAL_NAMES_free(names) }
        for index in 0..<max(0, OPENSSL_sk_num(names)) {
            guard let name = OPENSSL_sk_value(names, index)?.assumingMemoryBound(to: GENERAL_NAME.self).pointee else { continue }
            switch name.type {
            case GEN_DNS: dns.append(String(decoding: bytes(of: name.d.dNSName), as: UTF8.self).lowercased())
            case GEN_IPADD: if let address = addressText(bytes(of: name.d.iPAddress)) { ip.append(address) }
            case GEN_EMAIL: emails.append(String(decoding: bytes(of: name.d.rfc822Name), as: UTF8.self))
            case GEN_URI: uris.append(String(decoding: bytes(of: name.d.uniformResourceIdentifier), as: UTF8.self))
            case GEN_OTHERNAME:
                guard let other = name.d.otherName?.pointee, OBJ_obj2nid(other.type_id) == NID_ms_upn,
                    let value = other.value?.pointee, value.type == V_ASN1_UTF8STRING
                else { continue }
                principalNames.append(String(decoding: bytes(of: value.value.utf8string), as: UTF8.self))
            default: break
            }
        }
    }
}

func alternativeNames(of x509: OpaquePointer) -> AlternativeNames {
    AlternativeNames(X509_get_ext_d2i(x509, NID_subject_alt_name, nil, nil).map { OpaquePointer($0) })
}

private func bytes(of string: UnsafePointer<ASN1_STRING>?) -> UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(start: ASN1_STRING_get0_data(string), count: Int(ASN1_STRING_length(string)))
}

private func addressText(_ octets: UnsafeBufferPointer<UInt8>) -> String? {
    let family: Int32
    switch octets.count {
    case 4: family = AF_INET
    case 16: family = AF_INET6
    default: return nil
    }
    var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    guard let start = inet_ntop(family, octets.baseAddress, &buffer, socklen_t(buffer.count)) else { return nil }
    return String(cString: start)
}

func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64? {
    var parts = tm()
    guard ASN1_TIME_to_tm(time, &parts) == 1 else { return nil }
    return Int64(timegm(&parts))
}

func hexadecimal(_ byte: UInt8) -> String {
    let text = String(byte, radix: 16, uppercase: true)
    return byte < 16 ? "0" + text : text
}
