import COpenSSL

/// The question whether a certificate is still good, for the responder that the certificate names (RFC 6960 section 4.1).
public struct OCSPRequest: Sendable {
    /// The responder's address: "http://ocsp.example.com/".
    public let url: String
    /// In DER, as the body of a POST.
    public let body: [UInt8]

    /// - Returns: nil where the certificate names no responder.
    public init?(for certificate: Certificate, issuer: Certificate) {
        defer { ERR_clear_error() }
        guard let leaf = try? X509Handle(der: certificate.der), let authority = try? X509Handle(der: issuer.der),
            let url = Self.responder(of: leaf.pointer), let request = OCSP_REQUEST_new()
        else { return nil }
        defer { OCSP_REQUEST_free(request) }
        // The request owns the name from here on.
        guard let id = OCSP_cert_to_id(nil, leaf.pointer, authority.pointer), OCSP_request_add0_id(request, id) != nil else {
            return nil
        }
        let count = i2d_OCSP_REQUEST(request, nil)
        guard count > 0 else { return nil }
        body = [UInt8](unsafeUninitializedCapacity: Int(count)) { buffer, used in
            var start = buffer.baseAddress
            used = Int(i2d_OCSP_REQUEST(request, &start))
        }
        self.url = url
    }

    /// The first that is reached over plain HTTP, as responders are: what they say is signed.
    private static func responder(of certificate: OpaquePointer) -> String? {
        guard let list = X509_get1_ocsp(certificate) else { return nil }
        defer { X509_email_free(list) }
        for index in 0..<max(0, OPENSSL_sk_num(list)) {
            guard let text = OPENSSL_sk_value(list, index) else { continue }
            let url = String(cString: text.assumingMemoryBound(to: CChar.self))
            if url.hasPrefix("http://") { return url }
        }
        return nil
    }
}
