import COpenSSL
import Glibc
public import PKI

/// One connection's TLS, with us as the server: an SSL * whose records go through a `RecordTransport`.
///
/// Confined to one thread. Every call into libssl clears the error queue before and asks SSL_get_error after: the queue
/// belongs to the thread, and what another connection left in it would fail this one.
public final class TLSConnection {
    public enum Role {
        /// Issues sessions that carry this tag, and show in clear whose they are.
        case control(tag: SessionTag, owner: SessionOwner = SessionOwner(0))
        /// Issues no tickets: one that the client never reads turns its close into a RST that destroys an upload's tail. The
        /// control connection's terms hold here too.
        case data(accepts: (SessionTag) -> Bool, terms: Terms? = nil)
    }

    /// Which rules a control connection came under; its data connections come under the same.
    public final class Terms: Sendable {
        let scope: TLSContext.Scope
        let sessionContext: [UInt8]
        let serverName: String?

        init(scope: TLSContext.Scope, sessionContext: [UInt8], serverName: String?) {
            self.scope = scope
            self.sessionContext = sessionContext
            self.serverName = serverName
        }
    }

    public enum Step: Equatable {
        case done
        case wantsRead
        case wantsWrite
        case failed(TLSError)
    }

    public enum ReadStep: Equatable {
        case bytes(Int)
        case wantsRead
        case wantsWrite
        case closeNotify
        /// FIN without close_notify: between two records, or within one.
        case truncated(atRecordBoundary: Bool)
        case failed(TLSError)
    }

    public enum WriteStep: Equatable {
        case bytes(Int)
        case wantsRead
        case wantsWrite
        case failed(TLSError)
    }

    /// What the handshake came to. One object, since several refer to it as long as a session lasts.
    public final class Facts {
        /// "TLSv1.3".
        public let version: String
        private let usedCipher: OpaquePointer?  // const SSL_CIPHER *, a constant of OpenSSL's
        public let isResumed: Bool
        /// The name that the client asked for.
        public let serverName: String?
        public let alpn: String?
        /// Whose session was resumed.
        public let sessionTag: SessionTag?
        /// Equal for control connections of which one has resumed the other's session, at whatever distance; nil on data
        /// connections.
        public let lineage: SessionTag?
        public let clientCertificate: Certificate?

        fileprivate init(
            version: String, cipher: OpaquePointer?, isResumed: Bool, serverName: String?, alpn: String?, sessionTag: SessionTag?,
            lineage: SessionTag?, clientCertificate: Certificate?
        ) {
            self.version = version
            usedCipher = cipher
            self.isResumed = isResumed
            self.serverName = serverName
            self.alpn = alpn
            self.sessionTag = sessionTag
            self.lineage = lineage
            self.clientCertificate = clientCertificate
        }

        /// "TLS_AES_128_GCM_SHA256".
        public var cipher: String { usedCipher.flatMap { SSL_CIPHER_get_name($0) }.map { String(cString: $0) } ?? "none" }
    }

    let role: Role
    private let ssl: OpaquePointer  // SSL *
    private let bio: RecordBIO
    let context: TLSContext
    var policy: TLSPolicy { context.policy }
    /// The identities and the rules that the client's name has led to.
    private(set) var selected: ServerContext
    private var scope: TLSContext.Scope
    private var serverName: String?
    /// For the log, where it was not taken.
    var rejectedCertificate: Certificate?
    /// Why the operator's rules keep a good certificate out.
    var refusedByRules: CertificateRejection?
    /// Why a callback of ours ended the handshake.
    var refusal: String?
    private var keyAge = KeyAge()
    /// With what we send, as the kernel takes it; nil once they are out of date, or it has them.
    private var sendingKeys: KernelKeys?
    /// The kernel encrypts: what goes into the transport are the clear bytes.
    public private(set) var sendsInKernel = false
    private var needsOtherKeys = false
    private unowned let transport: any RecordTransport
    private var boundary = RecordBoundary()
    private var transportFailure: Int32?
    private(set) var hasEnded = false
    /// After a fatal error nothing more may be sent, close_notify least of all.
    private var hasFailed = false
    private var hasSentCloseNotify = false
    public private(set) var sawCloseNotify = false
    /// Of the session that a control connection resumes.
    var lineage: SessionTag?
    var store: SessionStore { context.store }
    /// Nil until the handshake is over.
    public private(set) var facts: Facts?

    /// - Parameters:
    ///   - transport: outlives the connection.
    ///   - port: that the client has connected to, where clients of some ports have rules of their own.
    ///   - bio: the thread's.
    public init(
        context: TLSContext, transport: any RecordTransport, role: Role, port: UInt16? = nil, bio: RecordBIO = RecordBIO()
    ) {
        var scope = port.map { TLSContext.Scope.port($0) } ?? .everyone
        if case .data(_, let terms?) = role { scope = terms.scope }
        selected = context.initial(scope)
        self.scope = scope
        guard let ssl = SSL_new(selected.pointer) else { preconditionFailure("OpenSSL is out of memory") }
        self.ssl = ssl
        self.context = context
        self.transport = transport
        self.role = role
        self.bio = bio
        BIO_up_ref(bio.pointer)
        SSL_set_bio(ssl, bio.pointer, bio.pointer)
        SSL_set_accept_state(ssl)
        switch role {
        case .control:
            // Passwords come through here: what OpenSSL has handed out it does not keep.
            SSL_set_options(ssl, shim_SSL_OP_CLEANSE_PLAINTEXT)
            // OpenSSL makes two, of which its clients keep the last; each data connection is given one of its own.
            SSL_set_num_tickets(ssl, 1)
        case .data:
            SSL_set_num_tickets(ssl, 0)
            if context.policy.usesKernel { SSL_set_options(ssl, shim_SSL_OP_ENABLE_KTLS) }
        }
    }

    deinit { SSL_free(ssl) }

    /// The connection behind an SSL *, in OpenSSL's callbacks.
    static func of(_ ssl: OpaquePointer) -> TLSConnection? {
        SSL_get_rbio(ssl).flatMap { RecordBIO.connection($0) }
    }

    /// What comes before every call into libssl that may do something.
    private func enter() {
        ERR_clear_error()
        bio.belong(to: self)
    }

    /// What data connections of this control connection are bound to.
    public var terms: Terms {
        Terms(scope: scope, sessionContext: selected.verification.sessionContext, serverName: serverName)
    }

    /// The client has said which name it wants: identities and rules follow from it, before a session is looked for.
    /// - Returns: false where nobody has that name, and the handshake is to end.
    func selectContext(for asked: String?) -> Bool {
        serverName = asked
        var wanted = asked
        var sessionContext: [UInt8]?
        if case .data(_, let terms?) = role {
            // Many programs ask for no name on data connections. And what the control connection may, its data connections
            // may, even after a reload: its tag is in the ticket, and the certificate is judged anew.
            wanted = asked ?? terms.serverName
            sessionContext = terms.sessionContext
        }
        guard let (context, scope) = context.select(wanted, scope, isFixed: sessionContext != nil) else { return false }
        (selected, self.scope) = (context, scope)
        SSL_set_SSL_CTX(ssl, context.pointer)
        // The line above takes over the certificates and little else.
        SSL_set_verify(ssl, context.verification.mode, nil)
        let fence = sessionContext ?? context.verification.sessionContext
        SSL_set_session_id_context(ssl, fence, UInt32(fence.count))
        return true
    }

    /// Whether the certificate in a session is still good enough to resume it.
    func accepts(resumed session: OpaquePointer) -> Bool {
        selected.verification.accepts(resumed: session, knowing: store.intermediates) { [self] in refusal(of: $0) == nil }
    }

    /// What the rules that count here have against a certificate that is good otherwise.
    func refusal(of certificate: Certificate) -> CertificateRejection? {
        let verification = selected.verification
        if let refusal = verification.trust?.refusal(of: certificate) { return refusal }
        return verification.policy.statusCheck != .off && store.clientStatuses.isRevoked(certificate) ? .revoked : nil
    }

    public func handshake() -> Step {
        guard facts == nil else { return .done }
        enter()
        let result = SSL_do_handshake(ssl)
        if result == 1 {
            facts = readFacts()
            if selected.verification.trust != nil { store.intermediates.learn(from: ssl) }
            if case .control = role { forgetKeyExchange() }
            return .done
        }
        switch outcome(result) {
        case .wantsRead: return .wantsRead
        case .wantsWrite: return .wantsWrite
        case .closeNotify, .endOfStream:
            hasFailed = true
            return .failed(.disconnected)
        case .failed(let error):
            if error == .notTLS { Self.noTLSAlert.withUnsafeBytes { _ = writeRecords($0) } }
            return .failed(error)
        }
    }

    /// Both keys of the exchange: TLS 1.3 is done with them, and OpenSSL would keep them as long as the connection.
    private func forgetKeyExchange() {
        guard isTLS13 else { return }
        for find in [shim_SSL_get_tmp_key, shim_SSL_get_peer_tmp_key] {
            var key: OpaquePointer?
            guard find(ssl, &key) == 1, let key else { continue }
            // Wipes and frees what is in it; that no type follows is an error, and meant.
            EVP_PKEY_set_type(key, EVP_PKEY_NONE)
            EVP_PKEY_free(key)
        }
        ERR_clear_error()
    }

    /// Fatal, protocol_version. OpenSSL says nothing to what does not look like TLS; but a client that speaks in the clear to an
    /// implicit port waits for a greeting, and is to learn that none will come.
    private static let noTLSAlert: [UInt8] = [0x15, 3, 1, 0, 2, 2, 70]

    /// One SSL_read: at most one record's payload.
    public func read(into buffer: UnsafeMutableRawBufferPointer) -> ReadStep {
        enter()
        let result = SSL_read(ssl, buffer.baseAddress, Int32(clamping: buffer.count))
        if needsOtherKeys {
            hasFailed = true
            return .failed(.keysAreFixed)
        }
        if result > 0 {
            keyAge.received(Int(result))
            return .bytes(Int(result))
        }
        if keyAge.isFlooded {
            hasFailed = true
            return .failed(.peerMisbehaved("the client changes keys without end"))
        }
        switch outcome(result) {
        case .wantsRead: return .wantsRead
        case .wantsWrite: return .wantsWrite
        case .closeNotify:
            sawCloseNotify = true
            return .closeNotify
        case .endOfStream: return .truncated(atRecordBoundary: boundary.isHere)
        case .failed(let error): return .failed(error)
        }
    }

    /// One SSL_write: at most one record's payload is taken.
    public func write(_ bytes: UnsafeRawBufferPointer) -> WriteStep {
        enter()
        if keyAge.mustChange(limit: policy.rekeyBytes), isTLS13 {
            sendingKeys = nil
            SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED)
        }
        let result = SSL_write(ssl, bytes.baseAddress, Int32(clamping: bytes.count))
        if result > 0 {
            keyAge.sent(Int(result))
            return .bytes(Int(result))
        }
        switch outcome(result) {
        case .wantsRead: return .wantsRead
        case .wantsWrite: return .wantsWrite
        case .closeNotify, .endOfStream: return .failed(.disconnected)
        case .failed(let error): return .failed(error)
        }
    }

    /// Says that nothing more comes; once, and only where the handshake is over and nothing fatal has happened.
    public func sendCloseNotify() -> Step {
        guard owesCloseNotify else { return .done }
        hasSentCloseNotify = true
        enter()
        let result = SSL_shutdown(ssl)
        if result >= 0 { return .done }
        switch outcome(result) {
        case .failed(let error): return .failed(error)
        default: return .done
        }
    }

    private var owesCloseNotify: Bool { facts != nil && !hasFailed && !hasSentCloseNotify }

    /// The close_notify that is to be sent where the kernel encrypts, as an alert's bytes; once, and nil where none may be sent.
    public func takeCloseNotify() -> [UInt8]? {
        guard owesCloseNotify else { return nil }
        hasSentCloseNotify = true
        return [UInt8(SSL3_AL_WARNING), UInt8(SSL3_AD_CLOSE_NOTIFY)]
    }

    /// Has a fresh ticket go out in front of the next write: OpenSSL's clients use each once, so every data connection needs
    /// its own. TLS 1.2 has no such thing, and needs none.
    public func queueTicket() {
        guard facts != nil, !hasFailed, isTLS13 else { return }
        enter()
        SSL_new_session_ticket(ssl)
    }

    /// Whether the peer's bytes so far end with a whole record.
    public var isBetweenRecords: Bool { boundary.isHere }

    /// OpenSSL has seen a handshake message, perhaps behind the handshake.
    func receivedMessage(_ message: UnsafeRawBufferPointer) {
        guard message[0] == UInt8(SSL3_MT_KEY_UPDATE), facts != nil else { return }
        keyAge.peerChanged()
        // RFC 8446 section 4.6.3: the answer, before the next data, changes ours.
        guard message.last == UInt8(SSL_KEY_UPDATE_REQUESTED) else { return }
        sendingKeys = nil
        needsOtherKeys = sendsInKernel
    }

    /// Bytes that OpenSSL has decrypted and nobody has read: no readiness will tell of them.
    public var hasBufferedPlaintext: Bool { SSL_pending(ssl) > 0 }

    private var isTLS13: Bool { SSL_version(ssl) == TLS1_3_VERSION }

    // MARK: - Sending in the kernel

    /// How many bytes the kernel may send for this connection, all that were sent before included: it cannot change keys, so that
    /// what goes beyond `--rekey-bytes` has to stay here. TLS 1.2 cannot change them either, wherever it runs.
    /// - Parameter count: what is to be sent, where somebody has said so.
    /// - Returns: nil where the kernel may not.
    public func kernelLimit(expecting count: @autoclosure () -> Int?) -> Int? {
        guard sendingKeys != nil else { return nil }
        guard isTLS13, policy.rekeyBytes > 0 else { return .max }
        guard let count = count(), count <= policy.rekeyBytes else { return nil }
        return policy.rekeyBytes
    }

    /// Has somebody else make the records from here on; those that OpenSSL has made so far must all be on their way.
    /// - Parameter install: gives the keys to the kernel, and says whether it took them; where not, all stays as it is.
    /// - Returns: whether it did. It is not asked again.
    public func moveSending(_ install: (UnsafeRawBufferPointer) -> Bool) -> Bool {
        guard let keys = sendingKeys else { return false }
        sendingKeys = nil
        sendsInKernel = keys.afterRecords(keys.records.count, install)
        return sendsInKernel
    }

    /// - Returns: what OpenSSL is told: 0, the kernel has not taken them.
    func keepKeys(_ keys: UnsafeRawPointer?, areForSending: Bool) -> Int {
        guard areForSending, facts == nil, let keys else { return 0 }
        sendingKeys = KernelKeys(keys)
        return 0
    }

    // MARK: - What the BIO calls

    func readRecords(_ buffer: UnsafeMutableRawBufferPointer) -> RecordIO {
        let result = transport.readRecords(into: buffer)
        switch result {
        case .bytes(let count): boundary.pass(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        case .endOfStream: hasEnded = true
        case .failed(let errno): transportFailure = errno
        case .wouldBlock: break
        }
        return result
    }

    func writeRecords(_ bytes: UnsafeRawBufferPointer) -> RecordIO {
        // A fatal alert, under keys whose count has stood still: the reset that follows must do.
        if sendsInKernel { return .bytes(bytes.count) }
        sendingKeys?.records.pass(bytes)
        let result = transport.writeRecords(bytes)
        if case .failed(let errno) = result { transportFailure = errno }
        return result
    }

    // MARK: - What a result means

    private enum Outcome {
        case wantsRead
        case wantsWrite
        case closeNotify
        case endOfStream
        case failed(TLSError)
    }

    private func outcome(_ result: Int32) -> Outcome {
        let code = SSL_get_error(ssl, result)
        switch code {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        case SSL_ERROR_ZERO_RETURN: return .closeNotify
        default: break
        }
        let errors = OpenSSLErrors.drain()
        if let transportFailure {
            hasFailed = true
            return .failed(.transport(errno: transportFailure))
        }
        // libcrypto's word comes first where a record cannot be decrypted; what it means for the connection is libssl's.
        let decisive = errors.codes.first { ERR_GET_LIB($0) == ERR_LIB_SSL } ?? errors.codes.first
        guard let decisive, code == SSL_ERROR_SSL else {
            hasFailed = true
            return hasEnded ? .endOfStream : .failed(.library("\(errors)"))
        }
        if ERR_GET_REASON(decisive) == SSL_R_UNEXPECTED_EOF_WHILE_READING {
            // Not fatal for writing: what we have to say may still be read.
            return .endOfStream
        }
        hasFailed = true
        // A record that is too short for its cipher's parts is an internal error to libssl.
        if let short = errors.codes.first(where: { ERR_GET_LIB($0) == ERR_LIB_PROV && ERR_GET_REASON($0) == PROV_R_INVALID_AAD })
        {
            return .failed(.peerMisbehaved(OpenSSLErrors.text(short)))
        }
        return .failed(error(decisive))
    }

    private func error(_ code: UInt) -> TLSError {
        let reason = ERR_GET_REASON(code)
        let text = OpenSSLErrors.text(code)
        guard ERR_GET_LIB(code) == ERR_LIB_SSL else { return .library(text) }
        // Beyond them lie those that all libraries share (ERR_R_INTERNAL_ERROR and its like).
        if (SSL_AD_REASON_OFFSET...SSL_AD_REASON_OFFSET + 255).contains(reason) {
            return .peerAlert(String(cString: SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET)))
        }
        guard reason < SSL_AD_REASON_OFFSET else { return .library(text) }
        switch reason {
        case SSL_R_CERTIFICATE_VERIFY_FAILED:
            return .certificateRejected(
                refusedByRules ?? CertificateRejection(code: SSL_get_verify_result(ssl)), subject: rejectedCertificate?.subject)
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return .certificateRejected(.noneSent, subject: nil)
        case SSL_R_BAD_SIGNATURE where selected.verification.trust != nil:
            return .certificateRejected(.foreignKey, subject: nil)
        case SSL_R_CALLBACK_FAILED where refusal != nil: return .peerMisbehaved(refusal ?? text)
        case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST: return .notTLS
        case SSL_R_WRONG_VERSION_NUMBER where facts == nil: return .notTLS
        default: return .peerMisbehaved(text)
        }
    }

    private func ownLineage(_ isResumed: Bool) -> SessionTag? {
        guard case .control(let tag, _) = role else { return nil }
        return isResumed ? lineage ?? tag : tag
    }

    private func readFacts() -> Facts {
        let isResumed = SSL_session_reused(ssl) == 1
        var alpn: UnsafePointer<UInt8>?
        var alpnCount: UInt32 = 0
        SSL_get0_alpn_selected(ssl, &alpn, &alpnCount)
        return Facts(
            version: String(cString: SSL_get_version(ssl)),
            cipher: SSL_get_current_cipher(ssl),
            isResumed: isResumed,
            serverName: serverName,
            alpn: alpn.map { String(decoding: UnsafeBufferPointer(start: $0, count: Int(alpnCount)), as: UTF8.self) },
            sessionTag: isResumed ? SSL_get_session(ssl).flatMap { Tickets.contents(of: $0)?.tag } : nil,
            lineage: ownLineage(isResumed),
            clientCertificate: SSL_get1_peer_certificate(ssl).flatMap { try? Certificate(X509Handle(owning: $0)) })
    }
}
