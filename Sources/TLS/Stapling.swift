import COpenSSL
import Glibc
public import PKI
import Synchronization

/// An authority's word that a certificate is not revoked (RFC 6960), kept beside it as FILE.ocsp and shown to clients that ask.
struct Staple: Sendable {
    let response: [UInt8]
    /// Seconds since 1970; nil where the response names no end.
    let nextUpdate: Int64?

    static func file(beside certificateFile: String) -> String { certificateFile + ".ocsp" }

    /// - Returns: no staple where there is no such file; and what the file said.
    /// - Throws: when the file says something else than that this certificate is good.
    static func read(
        _ file: String, for certificateFile: String, _ certificate: Certificate, issuer: Certificate?
    ) throws(TLSConfigurationError) -> (Staple?, FileDigest) {
        let response: [UInt8]
        do throws(PKIError) {
            response = try File.read(file)
        } catch {
            guard !File.exists(file), let errno = error.errno else { throw TLSConfigurationError("\(error)") }
            return (nil, .unreadable(errno: errno))
        }
        guard let issuer else {
            throw TLSConfigurationError(
                "\(file): \(certificateFile) must hold the issuer's certificate too, or the response cannot be judged.")
        }
        do throws(TLSConfigurationError) {
            return (try Staple(response, for: certificate, issuer: issuer), FileDigest(of: response, from: file))
        } catch {
            throw TLSConfigurationError("\(file): \(error.description); fetch a new one, or remove the file.")
        }
    }

    /// - Throws: when it does not say that the certificate is good.
    init(_ response: [UInt8], for certificate: Certificate, issuer: Certificate) throws(TLSConfigurationError) {
        self.response = response
        switch OCSPResponse.verdict(response, certificate: certificate, issuer: issuer) {
        case .good(let until): nextUpdate = until
        case .revoked: throw TLSConfigurationError("it says that the certificate is not good")
        case .bad(let reason): throw TLSConfigurationError(reason)
        }
    }

    /// An old word is worse than none: some clients refuse it.
    var isFresh: Bool { nextUpdate.map { $0 > Int64(time(nil)) } ?? true }
}

/// What responders have said (`--ocsp-fetch`), by certificate; shared over reloads.
public final class StapleStore: Sendable {
    private let staples = Mutex<[[UInt8]: Staple]>([:])

    func staple(for certificate: [UInt8]) -> Staple? { staples.withLock { $0[certificate] } }

    /// Judges and keeps a response.
    /// - Returns: when the responder will know better, in seconds since 1970; nil where it names no time.
    /// - Throws: when the response does not say that the certificate is good.
    public func keep(
        _ response: [UInt8], for certificate: Certificate, issuer: Certificate
    ) throws(TLSConfigurationError) -> Int64? {
        let staple = try Staple(response, for: certificate, issuer: issuer)
        staples.withLock { $0[certificate.der] = staple }
        return staple.nextUpdate
    }
}

/// Hands out what is stapled (RFC 6066 section 8).
enum Stapling {
    static func install(on context: OpaquePointer) {
        shim_SSL_CTX_set_tlsext_status_cb(context) { ssl, _ in
            guard let ssl, let connection = TLSConnection.of(ssl), let shown = SSL_get_certificate(ssl),
                let staple = connection.context.staple(for: shown), staple.isFresh
            else { return SSL_TLSEXT_ERR_NOACK }
            // OpenSSL frees it.
            guard let copy = CRYPTO_memdup(staple.response, staple.response.count, #file, 0) else { return SSL_TLSEXT_ERR_NOACK }
            shim_SSL_set_tlsext_status_ocsp_resp(ssl, copy.assumingMemoryBound(to: UInt8.self), staple.response.count)
            return SSL_TLSEXT_ERR_OK
        }
    }
}
