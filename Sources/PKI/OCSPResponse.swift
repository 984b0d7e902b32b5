import COpenSSL
import Glibc

/// Reads what an authority says of one certificate (RFC 6960).
package enum OCSPResponse {
    package enum Verdict: Equatable {
        /// Not revoked; nil where no end is named, else seconds since 1970.
        case good(until: Int64?)
        case revoked
        case bad(String)
    }

    /// Tolerated between the authority's clock and ours, in seconds.
    private static let clockSkew = 300

    package static func verdict(_ response: [UInt8], certificate: Certificate, issuer: Certificate) -> Verdict {
        defer { ERR_clear_error() }
        let parsed = response.withUnsafeBufferPointer { bytes in
            var start = bytes.baseAddress
            return d2i_OCSP_RESPONSE(nil, &start, bytes.count)
        }
        guard let parsed else { return .bad("it is no OCSP response in DER") }
        defer { OCSP_RESPONSE_free(parsed) }
        guard OCSP_response_status(parsed) == OCSP_RESPONSE_STATUS_SUCCESSFUL, let basic = OCSP_response_get1_basic(parsed) else {
            return .bad("the responder refused to answer")
        }
        defer { OCSP_BASICRESP_free(basic) }
        guard let leaf = try? X509Handle(der: certificate.der), let authority = try? X509Handle(der: issuer.der) else {
            return .bad("the certificate cannot be read")
        }
        guard isSigned(basic, by: authority) else { return .bad("it is not signed by the certificate's issuer") }
        guard let id = OCSP_cert_to_id(nil, leaf.pointer, authority.pointer) else {
            return .bad("the certificate cannot be named")
        }
        defer { OCSP_CERTID_free(id) }
        var (status, reason): (Int32, Int32) = (0, 0)
        var revocationTime: UnsafeMutablePointer<ASN1_TIME>?
        var thisUpdate: UnsafeMutablePointer<ASN1_TIME>?
        var nextUpdate: UnsafeMutablePointer<ASN1_TIME>?
        guard OCSP_resp_find_status(basic, id, &status, &reason, &revocationTime, &thisUpdate, &nextUpdate) == 1 else {
            return .bad("it is about another certificate")
        }
        guard OCSP_check_validity(thisUpdate, nextUpdate, clockSkew, -1) == 1 else { return .bad("it is out of date") }
        if status == V_OCSP_CERTSTATUS_REVOKED { return .revoked }
        guard status == V_OCSP_CERTSTATUS_GOOD else { return .bad("the responder does not know the certificate") }
        return .good(
            until: nextUpdate.flatMap { time in
                var parts = tm()
                return ASN1_TIME_to_tm(time, &parts) == 1 ? Int64(timegm(&parts)) : nil
            })
    }

    private static func isSigned(_ basic: OpaquePointer, by authority: X509Handle) -> Bool {
        guard let store = X509_STORE_new(), let chain = OPENSSL_sk_new_null() else { return false }
        defer {
            X509_STORE_free(store)
            OPENSSL_sk_free(chain)
        }
        X509_STORE_add_cert(store, authority.pointer)
        // The issuer may be no root itself.
        X509_STORE_set_flags(store, UInt(X509_V_FLAG_PARTIAL_CHAIN))
        OPENSSL_sk_push(chain, UnsafeRawPointer(authority.pointer))
        return OCSP_basic_verify(basic, chain, store, UInt(OCSP_TRUSTOTHER)) == 1
    }
}
