import COpenSSL
public import Wire

/// Whose session a client means to resume, found out before the handshake.
///
/// A data port that several control connections share learns from this to which of them a new connection belongs. Only our own
/// tickets can be opened, so nobody can make one up; but whoever saw one pass can repeat it. The proof is the handshake.
extension SessionStore {
    /// - Returns: the control connection's tag; nil where the client resumes nothing, or nothing that we know.
    public func claimedTag(in hello: ClientHello) -> SessionTag? {
        for ticket in hello.tickets {
            if let tag = tag(inside: ticket) { return tag }
        }
        guard !hello.sessionID.isEmpty else { return nil }
        var tag: SessionTag?
        let found = hello.sessionID.withUnsafeBufferPointer { id in
            cache.find(id) { session in
                tag = Tickets.contents(of: session)?.tag
                return true
            }
        }
        SSL_SESSION_free(found)
        return tag
    }

    /// What RFC 5077 section 4 recommends, and OpenSSL does: 16 bytes of key name, the IV, the encrypted session, an HMAC over all.
    private func tag(inside ticket: [UInt8]) -> SessionTag? {
        let (nameCount, ivCount, macCount) = (16, 16, 32)
        guard ticket.count > nameCount + ivCount + macCount, let key = ticketKeys.key(named: ticket.prefix(TicketKeys.nameCount))
        else { return nil }
        let signed = Array(ticket.dropLast(macCount))
        var mac = [UInt8](repeating: 0, count: macCount)
        guard
            EVP_Q_mac(
                nil, "HMAC", nil, "SHA256", nil, key.hmac.baseAddress, key.hmac.count, signed, signed.count, &mac, mac.count, nil)
                != nil, CRYPTO_memcmp(mac, Array(ticket.suffix(macCount)), macCount) == 0
        else {
            ERR_clear_error()
            return nil
        }
        guard
            let session = decrypt(
                Array(signed[(nameCount + ivCount)...]), iv: Array(signed[nameCount..<nameCount + ivCount]), key)
        else {
            ERR_clear_error()
            return nil
        }
        defer { SSL_SESSION_free(session) }
        return Tickets.contents(of: session)?.tag
    }

    /// - Returns: an SSL_SESSION * of the caller's own.
    private func decrypt(_ bytes: [UInt8], iv: [UInt8], _ key: TicketKeys.Key) -> OpaquePointer? {
        guard let cipher = EVP_CIPHER_CTX_new() else { return nil }
        defer { EVP_CIPHER_CTX_free(cipher) }
        var clear = [UInt8](repeating: 0, count: bytes.count + 16)
        defer { OPENSSL_cleanse(&clear, clear.count) }
        var (count, rest): (Int32, Int32) = (0, 0)
        guard EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nil, key.aes.baseAddress, iv) == 1,
            EVP_DecryptUpdate(cipher, &clear, &count, bytes, Int32(bytes.count)) == 1,
            clear.withUnsafeMutableBufferPointer({ EVP_DecryptFinal_ex(cipher, $0.baseAddress! + Int(count), &rest) }) == 1
        else { return nil }
        return clear.withUnsafeBufferPointer { buffer in
            var start = buffer.baseAddress
            return d2i_SSL_SESSION(nil, &start, Int(count + rest))
        }
    }
}
