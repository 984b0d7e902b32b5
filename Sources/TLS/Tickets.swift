import COpenSSL

/// What stands in session tickets, and which are taken (DESIGN 3.11.1).
///
/// A control connection's tickets carry its tag. A data connection takes a ticket of its own control connection only: any other
/// is declined, so that a full handshake follows and nobody takes part in another's session.
enum Tickets {
    static func install(on context: OpaquePointer) {
        SSL_CTX_set_session_ticket_cb(
            context,
            { ssl, _ in
                if let ssl, case .control(let tag) = TLSConnection.of(ssl)?.role { Tickets.write(tag, to: SSL_get_session(ssl)) }
                return 1
            },
            { ssl, session, _, _, status, _ in
                guard let ssl, let connection = TLSConnection.of(ssl) else { return Int32(SSL_TICKET_RETURN_IGNORE) }
                let isGood = status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW
                switch connection.role {
                // Without the renewal a resumed TLS 1.2 client would keep the old control connection's tag.
                case .control: return Int32(isGood ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_IGNORE_RENEW)
                case .data(let accepts):
                    guard isGood, let session, let tag = Tickets.tag(of: session), accepts(tag) else {
                        return Int32(SSL_TICKET_RETURN_IGNORE)
                    }
                    return Int32(SSL_TICKET_RETURN_USE)
                }
            }, nil)
    }

    static func write(_ tag: SessionTag, to session: OpaquePointer?) {
        guard let session else { return }
        SSL_SESSION_set1_ticket_appdata(session, tag.bytes, tag.bytes.count)
    }

    static func tag(of session: OpaquePointer) -> SessionTag? {
        var start: UnsafeMutableRawPointer?
        var count = 0
        guard SSL_SESSION_get0_ticket_appdata(session, &start, &count) == 1, let start else { return nil }
        return SessionTag(bytes: Array(UnsafeRawBufferPointer(start: start, count: count)))
    }
}
