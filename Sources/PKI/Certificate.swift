import COpenSSL
import Glibc

/// An X.509 certificate as a plain value: its bytes, and what they say.
public struct Certificate: Sendable, Hashable {
    public let der: [UInt8]
    /// RFC 2253: "CN=ftps.example.com,O=Example".
    public let subject: String
    /// The DNS names of its subjectAltName, in lower case; may begin with "*.".
    public let dnsNames: [String]
    /// The addresses of its subjectAltName.
    public let ipAddresses: [String]
    /// Seconds since 1970.
    public let notBefore: Int64
    /// Seconds since 1970.
    public let notAfter: Int64
    /// "AB:CD:…", as `openssl x509 -fingerprint -sha256` prints it.
    public let sha256Fingerprint: String

    public init(der: [UInt8]) throws(PKIError) {
        try self.init(try X509Handle(der: der))
    }

    /// All certificates in a PEM file, in its order; at least one.
    public static func readAll(file: String) throws(PKIError) -> [Certificate] {
        let bio = MemoryBIO(try File.read(file))
        var certificates: [Certificate] = []
        ERR_clear_error()
        while let pointer = PEM_read_bio_X509(bio.pointer, nil, nil, nil) {
            certificates.append(try Certificate(X509Handle(owning: pointer)))
        }
        let errors = OpenSSLErrors.drain()
        // The end of the file is an error as well: no further start line.
        let isEnd = errors.codes.last.map { ERR_GET_LIB($0) == ERR_LIB_PEM && ERR_GET_REASON($0) == PEM_R_NO_START_LINE } ?? true
        guard isEnd else { throw .damagedCertificate(file: file, reason: errors.description) }
        guard !certificates.isEmpty else { throw .noCertificate(file: file) }
        return certificates
    }

    public var pem: String {
        guard let handle = try? X509Handle(der: der) else { preconditionFailure("these bytes were a certificate before") }
        let bio = MemoryBIO()
        precondition(PEM_write_bio_X509(bio.pointer, handle.pointer) == 1, "a certificate can be written to memory")
        return bio.text
    }

    /// PEM, readable by everyone: it is public.
    public func write(to path: String) throws(PKIError) {
        try File.write(Array(pem.utf8), to: path, mode: 0o644)
    }

    public func matches(_ key: PrivateKey) -> Bool {
        guard let handle = try? X509Handle(der: der) else { return false }
        defer { ERR_clear_error() }  // a mismatch is an answer here
        return X509_check_private_key(handle.pointer, key.pointer) == 1
    }

    package init(_ handle: X509Handle) throws(PKIError) {
        let x509 = handle.pointer
        der = try handle.der()
        subject = text(of: X509_get_subject_name(x509))
        (dnsNames, ipAddresses) = alternativeNames(of: x509)
        guard let from = seconds(X509_get0_notBefore(x509)), let until = seconds(X509_get0_notAfter(x509)) else {
            throw .library("a certificate's dates cannot be read")
        }
        (notBefore, notAfter) = (from, until)
        var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: UInt32 = 0
        guard X509_digest(x509, EVP_sha256(), &digest, &count) == 1 else { throw .fromLibrary() }
        sha256Fingerprint = digest[..<Int(count)].map(hexadecimal).joined(separator: ":")
    }
}

/// Owns one reference to an `X509`.
package final class X509Handle {
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

private func text(of name: OpaquePointer?) -> String {
    let bio = MemoryBIO()
    // Not escaped beyond ASCII: names are for people.
    let flags = shim_XN_FLAG_RFC2253 & ~UInt(ASN1_STRFLGS_ESC_MSB)
    X509_NAME_print_ex(bio.pointer, name, 0, flags)
    return bio.text
}

private func alternativeNames(of x509: OpaquePointer) -> (dns: [String], ip: [String]) {
    var dns: [String] = []
    var ip: [String] = []
    guard let names = X509_get_ext_d2i(x509, NID_subject_alt_name, nil, nil) else { return (dns, ip) }
    let stack = OpaquePointer(names)
    defer { GENERAL_NAMES_free(stack) }
    for index in 0..<max(0, OPENSSL_sk_num(stack)) {
        guard let name = OPENSSL_sk_value(stack, index)?.assumingMemoryBound(to: GENERAL_NAME.self).pointee else { continue }
        switch name.type {
        case GEN_DNS: dns.append(String(decoding: bytes(of: name.d.dNSName), as: UTF8.self).lowercased())
        case GEN_IPADD: if let address = addressText(bytes(of: name.d.iPAddress)) { ip.append(address) }
        default: break
        }
    }
    return (dns, ip)
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

private func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64? {
    var parts = tm()
    guard ASN1_TIME_to_tm(time, &parts) == 1 else { return nil }
    return Int64(timegm(&parts))
}

private func hexadecimal(_ byte: UInt8) -> String {
    let text = String(byte, radix: 16, uppercase: true)
    return byte < 16 ? "0" + text : text
}
