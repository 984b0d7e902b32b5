import COpenSSL

/// The thread's queue of OpenSSL errors, emptied, oldest first.
///
/// The queue belongs to the thread and not to a connection: what one leaves in it, another would take for its own.
package struct OpenSSLErrors: Sendable, CustomStringConvertible {
    package var codes: [UInt] = []

    package static func drain() -> OpenSSLErrors {
        var errors = OpenSSLErrors()
        while true {
            let code = ERR_get_error()
            guard code != 0 else { return errors }
            errors.codes.append(code)
        }
    }

    package static func text(_ code: UInt) -> String {
        guard let reason = ERR_reason_error_string(code) else { return "error \(code)" }
        return String(cString: reason)
    }

    package var description: String {
        codes.isEmpty ? "no reason given" : codes.map(Self.text).joined(separator: "; ")
    }
}
