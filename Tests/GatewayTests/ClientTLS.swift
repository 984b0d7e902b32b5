import COpenSSL
import TLS

/// How a client treats the sessions that a server gives it (PROTOCOL 6).
enum ClientHabit: CaseIterable {
    /// Keeps every ticket and uses each once, the newest first: OpenSSL, Java, .NET.
    case eachTicketOnce
    /// Uses the first one for ever: some appliances.
    case firstTicketForEver
    /// TLS 1.2 without tickets.
    case sessionID
    /// Python's ftplib as it comes.
    case neverResumes
}

/// What one client's connections have in common: version, habits, sessions.
final class ClientTLSSettings {
    fileprivate let pointer: OpaquePointer  // SSL_CTX *
    let habit: ClientHabit
    fileprivate var sessions: [OpaquePointer] = []  // SSL_SESSION *

    init(_ version: TLSVersion?, habit: ClientHabit = .eachTicketOnce, certificate: (file: String, key: String)? = nil) {
        self.habit = habit
        pointer = SSL_CTX_new(TLS_client_method())
        SSL_CTX_set_verify(pointer, SSL_VERIFY_NONE, nil)
        if let version {
            let number = version == .tls12 ? TLS1_2_VERSION : TLS1_3_VERSION
            _ = shim_SSL_CTX_set_min_proto_version(pointer, number)
            _ = shim_SSL_CTX_set_max_proto_version(pointer, number)
        }
        if habit == .sessionID { SSL_CTX_set_options(pointer, shim_SSL_OP_NO_TICKET) }
        if let certificate {
            precondition(SSL_CTX_use_certificate_chain_file(pointer, certificate.file) == 1)
            precondition(SSL_CTX_use_PrivateKey_file(pointer, certificate.key, SSL_FILETYPE_PEM) == 1)
        }
        // With OpenSSL's own cache off, a session stays usable after its first use: the habit decides, not the library.
        shim_SSL_CTX_set_session_cache_mode(pointer, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL))
        SSL_CTX_set_ex_data(pointer, 0, Unmanaged.passUnretained(self).toOpaque())
        SSL_CTX_sess_set_new_cb(pointer) { ssl, session in
            guard let ssl, let session, let context = SSL_get_SSL_CTX(ssl), let data = SSL_CTX_get_ex_data(context, 0) else {
                return 0
            }
            // Keeping it means owning it.
            Unmanaged<ClientTLSSettings>.fromOpaque(data).takeUnretainedValue().sessions.append(session)
            return 1
        }
    }

    deinit {
        for session in sessions { SSL_SESSION_free(session) }
        SSL_CTX_free(pointer)
    }

    var sessionCount: Int { sessions.count }

    /// Takes over what the other has, as programs do that share one cache.
    func share(from other: ClientTLSSettings) {
        for session in other.sessions {
            SSL_SESSION_up_ref(session)
            sessions.append(session)
        }
    }

    /// The session for a data connection, which the client owns from here on.
    fileprivate func nextSession() -> OpaquePointer? {
        guard habit != .neverResumes else { return nil }
        switch habit {
        // In TLS 1.2 there is one, for all of the session.
        case .eachTicketOnce where sessions.last.map { SSL_SESSION_get_protocol_version($0) == TLS1_3_VERSION } == true:
            return sessions.popLast()
        default:
            guard let kept = habit == .firstTicketForEver ? sessions.first : sessions.last else { return nil }
            // A copy: OpenSSL itself would use a session of TLS 1.3 once.
            return SSL_SESSION_dup(kept)
        }
    }
}

/// OpenSSL's client between two queues of bytes.
final class ClientTLS {
    enum Read: Equatable {
        case bytes([UInt8])
        case nothing
        case closeNotify
        case failed(String)
    }

    private let ssl: OpaquePointer  // SSL *
    private let settings: ClientTLSSettings
    private let incoming: OpaquePointer  // BIO *
    private let outgoing: OpaquePointer  // BIO *
    private(set) var isUp = false

    init(_ settings: ClientTLSSettings, resumes: Bool = false, alpn: [String] = []) {
        self.settings = settings
        ssl = SSL_new(settings.pointer)
        incoming = BIO_new(BIO_s_mem())
        outgoing = BIO_new(BIO_s_mem())
        SSL_set_bio(ssl, incoming, outgoing)
        SSL_set_connect_state(ssl)
        let offered = alpn.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        if !offered.isEmpty { SSL_set_alpn_protos(ssl, offered, UInt32(offered.count)) }
        if resumes, let session = settings.nextSession() {
            SSL_set_session(ssl, session)
            SSL_SESSION_free(session)
        }
    }

    deinit {
        // OpenSSL throws away the session of a connection that did not say goodbye; whether it is used again is the habit's.
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
        SSL_free(ssl)
    }

    var isResumed: Bool { SSL_session_reused(ssl) == 1 }
    var version: String { String(cString: SSL_get_version(ssl)) }

    func receive(_ bytes: [UInt8]) { BIO_write(incoming, bytes, Int32(bytes.count)) }

    /// Goes on with the handshake. False when it has failed.
    func advance() -> Bool {
        guard !isUp else { return true }
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        if result == 1 { isUp = true }
        if result == 1 { return true }
        let code = SSL_get_error(ssl, result)
        return code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE
    }

    func read() -> Read {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        ERR_clear_error()
        let result = SSL_read(ssl, &buffer, Int32(buffer.count))
        if result > 0 { return .bytes(Array(buffer[..<Int(result)])) }
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .nothing
        case SSL_ERROR_ZERO_RETURN: return .closeNotify
        default:
            let code = ERR_peek_error()
            return .failed(ERR_reason_error_string(code).map { String(cString: $0) } ?? "error \(code)")
        }
    }

    /// Makes records of at most `recordSize` bytes.
    func write(_ bytes: [UInt8], recordSize: Int = 16_384) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = Array(rest.prefix(recordSize))
            let count = SSL_write(ssl, piece, Int32(piece.count))
            precondition(count == piece.count, "a memory BIO takes everything")
            rest = rest.dropFirst(piece.count)
        }
    }

    func sendCloseNotify() { SSL_shutdown(ssl) }

    /// What is to go out now.
    func take() -> [UInt8] {
        var all = [UInt8](repeating: 0, count: BIO_ctrl_pending(outgoing))
        if !all.isEmpty { BIO_read(outgoing, &all, Int32(all.count)) }
        return all
    }
}
