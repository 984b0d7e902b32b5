import COpenSSL
import Glibc

/// What a certificate says besides its names and dates.
extension Certificate {
    /// What a certificate may be used for (RFC 5280 section 4.2.1.12).
    public enum Purpose: String, Sendable, CaseIterable {
        case server, client
    }

    public struct Details: Sendable, Equatable {
        /// RFC 2253.
        public var issuer = ""
        /// Upper-case hexadecimal, two digits a byte.
        public var serial = ""
        public var commonName: String?
        /// All of them; `commonName` is the last.
        public var commonNames: [String] = []
        public var organizationalUnits: [String] = []
        public var organizations: [String] = []
        public var emails: [String] = []
        public var uris: [String] = []
        /// User principal names (Windows' `otherName`).
        public var principalNames: [String] = []
        /// Whether it may sign others (CA:TRUE).
        public var isAuthority = false
        /// How many authorities may stand between it and the last certificate; nil without a limit.
        public var pathLength: Int?
        /// Nil where nothing is said: it may be used for everything.
        public var purposes: Set<Purpose>?
        /// Whether it may be used by name for signing certificates, and lists of revoked ones; true where nothing is said.
        public var maySignCertificates = true
        public var maySignRevocations = true
        /// Its issuer is itself, as far as names and key identifiers tell.
        public var isSelfIssued = false
        /// "RSA 2048", "EC P-256", "ED25519".
        public var key = ""
        public var keyAlgorithm = ""
        public var keyBits = 0
        /// SHA-256 of the public key with its algorithm (SubjectPublicKeyInfo), "AB:CD:…": the same after a renewal with that key.
        public var keyFingerprint = ""
        /// "ecdsa-with-SHA256".
        public var signatureAlgorithm = ""
        /// "AB:CD:…".
        public var sha1Fingerprint = ""
        /// Where the authority's OCSP responder is.
        public var responders: [String] = []
    }

    /// Reads the certificate's other fields.
    public var details: Details {
        guard let handle = try? handle() else { preconditionFailure("these bytes were a certificate before") }
        let x509 = handle.pointer
        defer { ERR_clear_error() }
        var details = Details()
        details.issuer = text(of: X509_get_issuer_name(x509))
        details.serial = serialText(X509_get0_serialNumber(x509))
        let subject = X509_get_subject_name(x509)
        details.commonNames = texts(NID_commonName, in: subject)
        details.commonName = details.commonNames.last
        details.organizationalUnits = texts(NID_organizationalUnitName, in: subject)
        details.organizations = texts(NID_organizationName, in: subject)
        let names = alternativeNames(of: x509)
        (details.emails, details.uris, details.principalNames) = (names.emails, names.uris, names.principalNames)
        let flags = X509_get_extension_flags(x509)
        // A version 1 root is an authority by custom; OpenSSL's answer covers that.
        details.isAuthority = X509_check_ca(x509) != 0
        let length = X509_get_pathlen(x509)
        details.pathLength = length >= 0 ? length : nil
        details.isSelfIssued = flags & UInt32(EXFLAG_SI) != 0
        if flags & UInt32(EXFLAG_KUSAGE) != 0 {
            let usage = X509_get_key_usage(x509)
            details.maySignCertificates = usage & UInt32(KU_KEY_CERT_SIGN) != 0
            details.maySignRevocations = usage & UInt32(KU_CRL_SIGN) != 0
        }
        if flags & UInt32(EXFLAG_XKUSAGE) != 0 {
            let usage = X509_get_extended_key_usage(x509)
            var purposes: Set<Purpose> = []
            if usage & UInt32(XKU_SSL_SERVER | XKU_ANYEKU) != 0 { purposes.insert(.server) }
            if usage & UInt32(XKU_SSL_CLIENT | XKU_ANYEKU) != 0 { purposes.insert(.client) }
            details.purposes = purposes
        }
        if let key = X509_get0_pubkey(x509) {
            details.keyAlgorithm = PKI.keyAlgorithm(of: key)
            details.keyBits = Int(EVP_PKEY_get_bits(key))
            details.key = keyText(key)
        }
        details.keyFingerprint = keyFingerprint(of: x509)
        details.signatureAlgorithm = String(cString: OBJ_nid2ln(X509_get_signature_nid(x509)))
        details.sha1Fingerprint = fingerprint(of: x509, EVP_sha1())
        details.responders = responders(of: x509)
        return details
    }

    /// The TLS feature extension (RFC 7633) asks for a stapled OCSP response.
    public var mustStaple: Bool {
        guard let handle = try? handle() else { return false }
        return X509_get_ext_by_NID(handle.pointer, NID_tlsfeature, -1) >= 0
    }

    /// Whether `authority` has signed it: the signature is checked, nothing else.
    public func isSigned(by authority: Certificate) -> Bool {
        defer { ERR_clear_error() }
        guard let mine = try? handle(), let theirs = try? authority.handle() else { return false }
        return X509_check_issued(theirs.pointer, mine.pointer) == X509_V_OK
            && X509_verify(mine.pointer, X509_get0_pubkey(theirs.pointer)) == 1
    }

    /// Whether clients that want this host, or this address, take it (RFC 6125: its alternative names, else its common name).
    public func isFor(host: String) -> Bool {
        defer { ERR_clear_error() }
        guard let handle = try? handle() else { return false }
        return X509_check_host(handle.pointer, host, host.utf8.count, 0, nil) == 1
            || X509_check_ip_asc(handle.pointer, host, 0) == 1
    }
}

func fingerprint(of x509: OpaquePointer, _ digest: OpaquePointer?) -> String {
    var bytes = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var count: UInt32 = 0
    guard X509_digest(x509, digest, &bytes, &count) == 1 else { return "" }
    return bytes[..<Int(count)].map(hexadecimal).joined(separator: ":")
}

func serialText(_ serial: UnsafePointer<ASN1_INTEGER>?) -> String {
    guard let number = ASN1_INTEGER_to_BN(serial, nil) else { return "" }
    defer { BN_free(number) }
    guard let text = BN_bn2hex(number) else { return "" }
    defer { CRYPTO_free(text, nil, 0) }
    return String(cString: text)
}

/// The last common name, which is the most specific one.
func commonName(in name: OpaquePointer?) -> String? { texts(NID_commonName, in: name).last }

/// All values of one attribute, in their order.
private func texts(_ attribute: Int32, in name: OpaquePointer?) -> [String] {
    var texts: [String] = []
    var index: Int32 = -1
    while true {
        index = X509_NAME_get_index_by_NID(name, attribute, index)
        guard index >= 0 else { return texts }
        guard let data = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)) else { continue }
        var utf8: UnsafeMutablePointer<UInt8>?
        let count = ASN1_STRING_to_UTF8(&utf8, data)
        guard count >= 0, let utf8 else { continue }
        texts.append(String(decoding: UnsafeBufferPointer(start: utf8, count: Int(count)), as: UTF8.self))
        CRYPTO_free(utf8, nil, 0)
    }
}

private func keyFingerprint(of x509: OpaquePointer) -> String {
    var der: UnsafeMutablePointer<UInt8>?
    let count = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &der)
    guard count > 0, let der else { return "" }
    defer { CRYPTO_free(der, nil, 0) }
    var digest = [UInt8](repeating: 0, count: 32)
    guard EVP_Digest(der, Int(count), &digest, nil, EVP_sha256(), nil) == 1 else { return "" }
    return digest.map(hexadecimal).joined(separator: ":")
}

/// As OpenSSL names it: "RSA", "EC", "ED25519".
func keyAlgorithm(of key: OpaquePointer?) -> String {  // EVP_PKEY *
    key.flatMap { EVP_PKEY_get0_type_name($0) }.map { String(cString: $0) } ?? "unknown"
}

/// "RSA 2048", "EC P-256", "ED25519".
func keyText(_ key: OpaquePointer) -> String {
    let algorithm = keyAlgorithm(of: key)
    switch algorithm {
    case "EC":
        var name = [CChar](repeating: 0, count: 64)
        guard EVP_PKEY_get_group_name(key, &name, name.count, nil) == 1 else { return "EC" }
        let group = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return "EC \(["prime256v1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"][group] ?? group)"
    case "RSA", "RSA-PSS", "DSA": return "\(algorithm) \(EVP_PKEY_get_bits(key))"
    default: return algorithm
    }
}

private func responders(of x509: OpaquePointer) -> [String] {
    guard let stack = X509_get1_ocsp(x509) else { return [] }
    defer { X509_email_free(stack) }
    return (0..<max(0, OPENSSL_sk_num(stack))).compactMap { index in
        OPENSSL_sk_value(stack, index).map { String(cString: $0.assumingMemoryBound(to: CChar.self)) }
    }
}
