import COpenSSL

/// ALPN (RFC 7301): a client that offers protocols and none of FTP's meant another server, and is turned away before it says a
/// word (ALPACA, CVE-2021-3618), unless the operator lets it in. One that offers nothing is an FTP client like most.
enum ApplicationProtocol {
    private static let control = ["ftp"]
    private static let data = ["ftp-data", "ftp"]

    static func install(on context: OpaquePointer) {
        SSL_CTX_set_alpn_select_cb(
            context,
            { ssl, out, outLength, offered, offeredLength, _ in
                let wanted =
                    if let ssl, case .data = TLSConnection.of(ssl)?.role { ApplicationProtocol.data } else {
                        ApplicationProtocol.control
                    }
                let list = UnsafeBufferPointer(start: offered, count: Int(offeredLength))
                for name in wanted {
                    guard let place = ApplicationProtocol.place(of: Array(name.utf8), in: list) else { continue }
                    out?.pointee = list.baseAddress! + place
                    outLength?.pointee = UInt8(name.utf8.count)
                    return SSL_TLSEXT_ERR_OK
                }
                let isStrict = ssl.flatMap { TLSConnection.of($0) }?.policy.requiresKnownProtocol ?? true
                return isStrict ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK
            }, nil)
    }

    /// Where the name stands in a list of names, each behind its length.
    private static func place(of name: [UInt8], in list: UnsafeBufferPointer<UInt8>) -> Int? {
        var index = 0
        while index < list.count {
            let start = index + 1
            let end = start + Int(list[index])
            guard end <= list.count else { return nil }
            if list[start..<end].elementsEqual(name) { return start }
            index = end
        }
        return nil
    }
}
