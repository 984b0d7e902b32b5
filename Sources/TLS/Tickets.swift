import COpenSSL
import Glibc

/// How sessions are resumed, and which (DESIGN 3.11.1).
///
/// A control connection's sessions carry its tag: in the ticket, or in the cache under the session's id. A data connection takes
/// a session of its own control connection only: any other is declined, so that a full handshake follows and nobody takes part
/// in another's session.
enum Tickets {
    static func install(on context: OpaquePointer) {
        // Sessions without tickets are in the store, which OpenSSL asks through these two.
        shim_SSL_CTX_set_session_cache_mode(context, Int(SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL))
        SSL_CTX_sess_set_new_cb(context) { ssl, session in
            // TLS 1.3 calls this too, for its tickets.
            guard let ssl, let session, SSL_version(ssl) < TLS1_3_VERSION, let connection = TLSConnection.of(ssl),
                case .control(let tag, _) = connection.role
            else { return 0 }
            Tickets.write(tag, connection.lineage ?? tag, to: session)
            connection.store.cache.keep(session)
            return 1  // the reference is the cache's
        }
        SSL_CTX_sess_set_get_cb(context) { ssl, id, count, copies in
            copies?.pointee = 0
            guard let ssl, let connection = TLSConnection.of(ssl), case .data(let accepts, _) = connection.role else {
                // A control connection gets a session of its own, with a tag of its own: the old one cannot be written anew.
                return nil
            }
            return connection.store.cache.find(UnsafeBufferPointer(start: id, count: Int(count))) { session in
                guard let contents = Tickets.contents(of: session), accepts(contents.tag) else { return false }
                return connection.accepts(resumed: session)
            }
        }
        SSL_CTX_set_generate_session_id(context) { ssl, id, count in
            guard let ssl, let id, let count, let connection = TLSConnection.of(ssl) else { return 0 }
            let length = Int(count.pointee)
            id.update(from: randomBytes(length), count: length)
            if case .control(_, let owner) = connection.role, length >= SessionOwner.place.upperBound {
                (id + SessionOwner.place.lowerBound).update(from: owner.bytes, count: SessionOwner.place.count)
            }
            return 1
        }
        SSL_CTX_set_tlsext_ticket_key_evp_cb(context) { ssl, name, iv, cipher, mac, encrypts in
            guard let ssl, let name, let iv, let cipher, let mac, let connection = TLSConnection.of(ssl) else { return -1 }
            return encrypts == 1
                ? Tickets.encrypt(connection, name, iv, cipher, mac) : Tickets.decrypt(connection, name, iv, cipher, mac)
        }
        installContents(on: context)
    }

    private static func installContents(on context: OpaquePointer) {
        SSL_CTX_set_session_ticket_cb(
            context,
            { ssl, _ in
                if let ssl, let connection = TLSConnection.of(ssl), case .control(let tag, _) = connection.role {
                    Tickets.write(tag, connection.lineage ?? tag, to: SSL_get_session(ssl))
                }
                return 1
            },
            { ssl, session, _, _, status, _ in
                guard let ssl, let connection = TLSConnection.of(ssl) else { return Int32(SSL_TICKET_RETURN_IGNORE) }
                let isGood = status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW
                let contents = isGood ? session.flatMap { Tickets.contents(of: $0) } : nil
                let isTrusted = isGood && session.map { connection.accepts(resumed: $0) } ?? false
                switch connection.role {
                case .control:
                    guard isTrusted else { return Int32(SSL_TICKET_RETURN_IGNORE_RENEW) }
                    connection.lineage = contents?.lineage
                    // Without the renewal a resumed TLS 1.2 client would keep the old control connection's tag.
                    return Int32(SSL_TICKET_RETURN_USE_RENEW)
                case .data(let accepts, _):
                    guard let contents, accepts(contents.tag), isTrusted else { return Int32(SSL_TICKET_RETURN_IGNORE) }
                    return Int32(SSL_TICKET_RETURN_USE)
                }
            }, nil)
    }

    // MARK: - What stands in a session

    /// 16 bytes of tag, 16 of lineage.
    struct Contents {
        let tag: SessionTag
        /// The tag of the first control connection in a chain of resumed ones.
        let lineage: SessionTag
    }

    static func write(_ tag: SessionTag, _ lineage: SessionTag, to session: OpaquePointer?) {
        guard let session else { return }
        let bytes = tag.bytes + lineage.bytes
        SSL_SESSION_set1_ticket_appdata(session, bytes, bytes.count)
    }

    static func contents(of session: OpaquePointer) -> Contents? {
        var start: UnsafeMutableRawPointer?
        var count = 0
        guard SSL_SESSION_get0_ticket_appdata(session, &start, &count) == 1, let start else { return nil }
        let bytes = UnsafeRawBufferPointer(start: start, count: count)
        guard let tag = SessionTag(bytes: bytes.prefix(SessionTag.count)),
            let lineage = SessionTag(bytes: bytes.dropFirst(SessionTag.count))
        else { return nil }
        return Contents(tag: tag, lineage: lineage)
    }

    // MARK: - What protects a ticket (RFC 5077 section 4: name, IV, encrypted state, HMAC)

    /// EVP_CIPHER *, looked up once: OpenSSL would look for its own anew with every ticket.
    nonisolated(unsafe) private static let aes: OpaquePointer = {
        guard let aes = EVP_CIPHER_fetch(nil, "AES-256-CBC", nil) else { preconditionFailure("OpenSSL has no AES") }
        return aes
    }()

    /// - Returns: 1 for a ticket, -1 for a failed handshake.
    private static func encrypt(
        _ connection: TLSConnection, _ name: UnsafeMutablePointer<UInt8>, _ iv: UnsafeMutablePointer<UInt8>,
        _ cipher: OpaquePointer, _ mac: OpaquePointer
    ) -> Int32 {
        let key = connection.store.ticketKeys.current()
        var owner = SessionOwner(0)
        if case .control(_, let its) = connection.role { owner = its }
        name.update(from: key.name + owner.bytes, count: 16)
        guard RAND_bytes(iv, EVP_CIPHER_get_iv_length(aes)) == 1,
            EVP_EncryptInit_ex(cipher, aes, nil, key.aes.baseAddress, iv) == 1, use(key, mac)
        else { return -1 }
        return 1
    }

    /// - Returns: 1 for a good key, 0 for one that nobody has any more, -1 for a failed handshake.
    private static func decrypt(
        _ connection: TLSConnection, _ name: UnsafeMutablePointer<UInt8>, _ iv: UnsafeMutablePointer<UInt8>,
        _ cipher: OpaquePointer, _ mac: OpaquePointer
    ) -> Int32 {
        let asked = UnsafeBufferPointer(start: name, count: TicketKeys.nameCount)
        guard let key = connection.store.ticketKeys.key(named: asked) else { return 0 }
        guard use(key, mac), EVP_DecryptInit_ex(cipher, aes, nil, key.aes.baseAddress, iv) == 1 else { return -1 }
        return 1
    }

    private static func use(_ key: TicketKeys.Key, _ mac: OpaquePointer) -> Bool {
        var digest = Array("SHA256".utf8CString)
        return digest.withUnsafeMutableBufferPointer { digest in
            let parameters = [
                OSSL_PARAM_construct_octet_string(
                    shim_OSSL_MAC_PARAM_KEY, UnsafeMutableRawPointer(mutating: key.hmac.baseAddress!), key.hmac.count),
                OSSL_PARAM_construct_utf8_string(shim_OSSL_MAC_PARAM_DIGEST, digest.baseAddress, 0),
                OSSL_PARAM_construct_end(),
            ]
            return EVP_MAC_CTX_set_params(mac, parameters) == 1
        }
    }
}
