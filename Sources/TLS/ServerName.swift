import COpenSSL

/// The name that a client asks for leads to the identity that has it (RFC 6066 section 3).
enum ServerName {
    /// - Parameter context: the TLSContext, which outlives the SSL_CTXs.
    static func install(on pointers: [OpaquePointer], context: UnsafeMutableRawPointer) {
        guard pointers.count > 1 else { return }
        shim_SSL_CTX_set_tlsext_servername_arg(pointers[0], context)
        shim_SSL_CTX_set_tlsext_servername_callback(pointers[0]) { ssl, _, context in
            let owner = Unmanaged<TLSContext>.fromOpaque(context!).takeUnretainedValue()
            if let ssl, let name = ServerName.asked(on: ssl), let pointer = owner.pointer(for: name) {
                SSL_set_SSL_CTX(ssl, pointer)
            }
            // An unknown name gets the first identity: many clients ask for an address or a name of their own making.
            return SSL_TLSEXT_ERR_OK
        }
    }

    static func asked(on ssl: OpaquePointer) -> String? {
        guard let name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) else { return nil }
        return String(cString: name)
    }
}
