import COpenSSL
import Glibc

/// A certificate that may sign others, with its private key.
public struct CertificateAuthority {
    /// The authority's own certificate first, then those above it as its file has them.
    public let chain: [Certificate]
    public var certificate: Certificate { chain[0] }
    public let certificateFile: String
    private let key: PrivateKey

    /// - Throws: also where the certificate may not sign, has expired, or is another key's.
    public init(certificateFile: String, keyFile: String, passphrase: PassphraseSource? = nil) throws(PKIError) {
        chain = try Certificate.readAll(file: certificateFile)
        self.certificateFile = certificateFile
        let details = chain[0].details
        guard details.isAuthority, details.maySignCertificates else { throw .notAnAuthority(file: certificateFile) }
        let now = Int64(time(nil))
        guard chain[0].notAfter > now else { throw .authorityExpired(file: certificateFile, notAfter: chain[0].notAfter) }
        key = try PrivateKey(file: keyFile, passphrase: passphrase)
        guard chain[0].matches(key) else { throw .mismatch(certificateFile: certificateFile, keyFile: keyFile) }
    }

    /// Signs a request. Names come from the request, everything that gives power from `role`.
    /// - Parameter days: fewer where the authority itself ends earlier.
    public func sign(
        _ request: CertificateRequest, role: CertificateProfile.Role, days: Int
    ) throws(PKIError) -> Certificate {
        guard request.isSignedByItsKey else { throw .forgedRequest }
        let wishes = request.wishes
        // Judges the names, which are a stranger's.
        let profile = try CertificateProfile(
            commonName: request.commonName ?? wishes.dnsNames.first ?? wishes.emails.first ?? "unnamed",
            dnsNames: wishes.dnsNames, ipAddresses: wishes.ipAddresses, emails: wishes.emails, uris: wishes.uris, role: role)
        let draft = try CertificateDraft()
        try request.fill(draft.x509)
        let issuer = try X509Handle(der: certificate.der)
        guard X509_set_issuer_name(draft.x509, X509_get_subject_name(issuer.pointer)) == 1 else { throw .fromLibrary() }
        draft.setDates(days: days, notAfterLimit: certificate.notAfter)
        try draft.add(
            profile.extensions(forKeyOf: request.keyAlgorithm)
                + [(NID_subject_key_identifier, "hash"), (NID_authority_key_identifier, "keyid")],
            issuer: issuer.pointer)
        return try draft.sign(with: key)
    }

    /// What stands behind a certificate that this authority has signed: all of its chain but a root, which clients have.
    public var chainForHolders: [Certificate] { chain.filter { !$0.details.isSelfIssued } }

    /// The list of what this authority has revoked.
    /// - Parameters:
    ///   - days: until when the next list comes.
    ///   - number: grows from list to list.
    public func revocationList(
        _ revocations: [Revocation], days: Int, number: Int64
    ) throws(PKIError) -> RevocationList {
        guard certificate.details.maySignRevocations else { throw .maySignNoRevocations(file: certificateFile) }
        guard let pointer = X509_CRL_new() else { throw .fromLibrary() }
        let handle = CRLHandle(owning: pointer)
        let issuer = try X509Handle(der: certificate.der)
        let now = Int64(time(nil))
        guard let from = ASN1_TIME_set(nil, time_t(now - 300)), let until = ASN1_TIME_set(nil, time_t(now + Int64(days) * 86_400))
        else {
            throw .fromLibrary()
        }
        defer {
            ASN1_TIME_free(from)
            ASN1_TIME_free(until)
        }
        guard X509_CRL_set_version(pointer, 1) == 1,  // 1 means version 2
            X509_CRL_set_issuer_name(pointer, X509_get_subject_name(issuer.pointer)) == 1,
            X509_CRL_set1_lastUpdate(pointer, from) == 1, X509_CRL_set1_nextUpdate(pointer, until) == 1
        else { throw .fromLibrary() }
        for revocation in revocations { try revocation.add(to: pointer) }
        X509_CRL_sort(pointer)
        var context = X509V3_CTX()
        X509V3_set_ctx(&context, issuer.pointer, nil, nil, pointer, 0)
        guard let keyIdentifier = X509V3_EXT_conf_nid(nil, &context, NID_authority_key_identifier, "keyid") else {
            throw .fromLibrary()
        }
        defer { X509_EXTENSION_free(keyIdentifier) }
        guard X509_CRL_add_ext(pointer, keyIdentifier, -1) == 1, let count = ASN1_INTEGER_new() else { throw .fromLibrary() }
        defer { ASN1_INTEGER_free(count) }
        guard ASN1_INTEGER_set_int64(count, number) == 1, X509_CRL_add1_ext_i2d(pointer, NID_crl_number, count, 0, 0) == 1,
            X509_CRL_sign(pointer, key.pointer, key.digest) > 0
        else { throw .fromLibrary() }
        return try RevocationList(handle)
    }
}

/// One certificate that is not to be trusted any more.
public struct Revocation: Sendable, Equatable {
    /// Why (RFC 5280 section 5.3.1).
    public enum Reason: String, Sendable, CaseIterable {
        case unspecified
        case keyCompromise = "key-compromise"
        case superseded
        case cessationOfOperation = "cessation-of-operation"
        case privilegeWithdrawn = "privilege-withdrawn"

        var code: Int {
            switch self {
            case .unspecified: 0
            case .keyCompromise: 1
            case .superseded: 4
            case .cessationOfOperation: 5
            case .privilegeWithdrawn: 9
            }
        }
    }

    /// Upper-case hexadecimal.
    public var serial: String
    /// Seconds since 1970.
    public var date: Int64
    public var reason: Reason

    public init(serial: String, date: Int64, reason: Reason) {
        self.serial = serial
        self.date = date
        self.reason = reason
    }

    fileprivate func add(to crl: OpaquePointer) throws(PKIError) {
        var number: OpaquePointer?
        guard BN_hex2bn(&number, serial) > 0, let number else { throw .library("\(serial) is no serial number") }
        defer { BN_free(number) }
        guard let integer = BN_to_ASN1_INTEGER(number, nil), let when = ASN1_TIME_set(nil, time_t(date)),
            let entry = X509_REVOKED_new()
        else { throw .fromLibrary() }
        defer {
            ASN1_INTEGER_free(integer)
            ASN1_TIME_free(when)
        }
        guard X509_REVOKED_set_serialNumber(entry, integer) == 1, X509_REVOKED_set_revocationDate(entry, when) == 1 else {
            throw .fromLibrary()
        }
        if reason != .unspecified {
            guard let code = ASN1_ENUMERATED_new() else { throw .fromLibrary() }
            defer { ASN1_ENUMERATED_free(code) }
            guard ASN1_ENUMERATED_set(code, reason.code) == 1,
                X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, code, 0, 0) == 1
            else { throw .fromLibrary() }
        }
        guard X509_CRL_add0_revoked(crl, entry) == 1 else { throw .fromLibrary() }
    }
}
