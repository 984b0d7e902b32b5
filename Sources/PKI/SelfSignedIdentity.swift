import Glibc

/// A key, a request and a certificate in files NAME.key, NAME.csr and NAME.crt: what a gateway shows that was given none.
///
/// The request is there for the day when an authority shall sign: its answer replaces NAME.crt, and the key stays.
public struct SelfSignedIdentity: Sendable, Equatable {
    public let certificateFile: String
    public let keyFile: String
    public let requestFile: String
    /// SHA-256, "AB:CD:…".
    public let fingerprint: String
    /// False when the files were there before.
    public let isNew: Bool

    /// Makes the files once and reuses them later, since clients remember the fingerprint.
    ///
    /// Throws when one of key and certificate is missing, when they do not belong together, and when the certificate has
    /// expired: none of that can be mended without the operator's knowing.
    public static func ensure(
        directory: String, name: String, dnsNames: [String], ipAddresses: [String], days: Int
    ) throws(PKIError) -> SelfSignedIdentity {
        guard !name.isEmpty, !name.utf8.contains(UInt8(ascii: "/")), !name.utf8.contains(0), name != ".", name != ".." else {
            throw .invalidName(name)
        }
        let path = "\(directory)/\(name)"
        let (keyFile, requestFile, certificateFile) = ("\(path).key", "\(path).csr", "\(path).crt")
        func commonName() -> String { name.utf8.count <= 64 ? name : "ftpsgate" }

        switch (File.exists(keyFile), File.exists(certificateFile)) {
        case (true, false): throw .missing(file: certificateFile, beside: keyFile)
        case (false, true): throw .missing(file: keyFile, beside: certificateFile)
        case (true, true):
            let key = try PrivateKey(file: keyFile)
            let certificate = try Certificate.readAll(file: certificateFile)[0]
            guard certificate.matches(key) else { throw .mismatch(certificateFile: certificateFile, keyFile: keyFile) }
            guard certificate.notAfter >= Int64(time(nil)) else {
                throw .expired(file: certificateFile, notAfter: certificate.notAfter)
            }
            // The request follows from the key: it is simply written again.
            if !File.exists(requestFile) {
                let profile = try CertificateProfile(commonName: commonName(), dnsNames: dnsNames, ipAddresses: ipAddresses)
                try CertificateRequest.make(key: key, profile: profile).write(to: requestFile)
            }
            return SelfSignedIdentity(
                certificateFile: certificateFile, keyFile: keyFile, requestFile: requestFile,
                fingerprint: certificate.sha256Fingerprint, isNew: false)
        case (false, false):
            let profile = try CertificateProfile(commonName: commonName(), dnsNames: dnsNames, ipAddresses: ipAddresses)
            let key = try PrivateKey.make(.p256)
            let certificate = try Certificate.selfSigned(key: key, profile: profile, days: days)
            try key.write(to: keyFile)
            try CertificateRequest.make(key: key, profile: profile).write(to: requestFile)
            try certificate.write(to: certificateFile)
            return SelfSignedIdentity(
                certificateFile: certificateFile, keyFile: keyFile, requestFile: requestFile,
                fingerprint: certificate.sha256Fingerprint, isNew: true)
        }
    }
}

/// A key and a self-signed certificate that no file holds: for a gateway that may write nowhere. Gone with the process.
public struct UnsavedIdentity: Sendable {
    public let key: PrivateKey
    public let certificate: Certificate

    public init(commonName: String, dnsNames: [String], ipAddresses: [String], days: Int) throws(PKIError) {
        let profile = try CertificateProfile(commonName: commonName, dnsNames: dnsNames, ipAddresses: ipAddresses)
        key = try PrivateKey.make(.p256)
        certificate = try Certificate.selfSigned(key: key, profile: profile, days: days)
    }
}
