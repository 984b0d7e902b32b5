import COpenSSL
import PKI

/// The client's side of one TLS handshake, to find out whether a TLS server answers. Nothing is verified and nothing is kept:
/// it serves the gateway's own health check, which asks the gateway itself.
public final class ClientHandshake {
    public enum Step: Equatable, Sendable {
        case wantsRead
        case done
        case failed(String)
    }

    private let context: OpaquePointer  // SSL_CTX *
    private let ssl: OpaquePointer  // SSL *
    /// Both belong to `ssl`.
    private let input: OpaquePointer  // BIO *
    private let output: OpaquePointer  // BIO *

    public init() throws(TLSConfigurationError) {
        guard let context = SSL_CTX_new(TLS_client_method()) else { throw .fromLibrary("TLS cannot be set up") }
        guard let ssl = SSL_new(context), let input = BIO_new(BIO_s_mem()), let output = BIO_new(BIO_s_mem()) else {
            SSL_CTX_free(context)
            throw .fromLibrary("TLS cannot be set up")
        }
        self.context = context
        self.ssl = ssl
        self.input = input
        self.output = output
        SSL_set_bio(ssl, input, output)
        SSL_set_connect_state(ssl)
    }

    deinit {
        SSL_free(ssl)
        SSL_CTX_free(context)
    }

    /// Goes on with what the server has sent since the last time.
    /// - Returns: how it stands, and what is to be sent to the server.
    public func step(received: [UInt8]) -> (Step, toSend: [UInt8]) {
        if !received.isEmpty { BIO_write(input, received, Int32(received.count)) }
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        let step: Step =
            if result == 1 {
                .done
            } else if SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ {
                .wantsRead
            } else {
                .failed("\(OpenSSLErrors.drain())")
            }
        var toSend = [UInt8](repeating: 0, count: BIO_ctrl_pending(output))
        if !toSend.isEmpty { BIO_read(output, &toSend, Int32(toSend.count)) }
        return (step, toSend)
    }
}
