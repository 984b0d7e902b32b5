import COpenSSL

/// The name that a client asks for leads to the identity that has it (RFC 6066 section 3).
///
/// It is looked at as soon as the ClientHello is there and before OpenSSL looks at tickets in it: a session of one name must
/// not be resumed under another whose rules are stricter (CVE-2025-23419).
enum ServerName {
    static func install(on context: OpaquePointer) {
        SSL_CTX_set_client_hello_cb(
            context,
            { ssl, alert, _ in
                guard let ssl, let connection = TLSConnection.of(ssl) else { return SSL_CLIENT_HELLO_ERROR }
                let name = ServerName.offered(in: ssl)?.lowercased()
                if connection.selectContext(for: name) { return SSL_CLIENT_HELLO_SUCCESS }
                connection.refusal =
                    name == nil ? "the client asks for no name" : "the client asks for a name that no certificate has"
                alert?.pointee = SSL_AD_UNRECOGNIZED_NAME
                return SSL_CLIENT_HELLO_ERROR
            }, nil)
    }

    /// The host name in the ClientHello's extension: a list of names, each behind its type and its length.
    private static func offered(in ssl: OpaquePointer) -> String? {
        var start: UnsafePointer<UInt8>?
        var count = 0
        guard SSL_client_hello_get0_ext(ssl, UInt32(TLSEXT_TYPE_server_name), &start, &count) == 1, let start else { return nil }
        return hostName(in: UnsafeBufferPointer(start: start, count: count))
    }

    static func hostName(in list: some RandomAccessCollection<UInt8>) -> String? {
        let list = Array(list)
        guard list.count > 5, Int(list[0]) << 8 | Int(list[1]) == list.count - 2, list[2] == UInt8(TLSEXT_NAMETYPE_host_name)
        else {
            return nil
        }
        let length = Int(list[3]) << 8 | Int(list[4])
        guard length > 0, length <= 255, 5 + length <= list.count else { return nil }
        let name = list[5..<5 + length]
        return name.allSatisfy { (33...126).contains($0) } ? String(decoding: name, as: UTF8.self) : nil
    }
}
