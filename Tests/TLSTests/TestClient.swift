import COpenSSL
import TestSupport

@testable import TLS

/// The bytes between a `TLSConnection` and a client, in memory: whoever writes, the other finds it there.
final class MemoryPipe: RecordTransport {
    var toServer: [UInt8] = []
    var toClient: [UInt8] = []
    /// The client has sent FIN.
    var hasEnded = false
    /// What the kernel would say instead of moving bytes.
    var failure: Int32?
    /// At most so many bytes a read.
    var readLimit = Int.max

    func readRecords(into buffer: UnsafeMutableRawBufferPointer) -> RecordIO {
        if let failure { return .failed(errno: failure) }
        guard !toServer.isEmpty else { return hasEnded ? .endOfStream : .wouldBlock }
        let count = min(buffer.count, toServer.count, readLimit)
        buffer.copyBytes(from: toServer[..<count])
        toServer.removeFirst(count)
        return .bytes(count)
    }

    func writeRecords(_ bytes: UnsafeRawBufferPointer) -> RecordIO {
        if let failure { return .failed(errno: failure) }
        toClient += bytes
        return .bytes(bytes.count)
    }
}

/// What several connections of one client have in common: its versions, its certificate, its sessions.
final class TestClientSettings {
    let pointer: OpaquePointer  // SSL_CTX *

    init(_ version: TLSVersion? = nil, tickets: Bool = true) {
        pointer = SSL_CTX_new(TLS_client_method())
        SSL_CTX_set_verify(pointer, SSL_VERIFY_NONE, nil)
        let numbers = [TLSVersion.tls12: TLS1_2_VERSION, .tls13: TLS1_3_VERSION]
        if let version {
            _ = shim_SSL_CTX_set_min_proto_version(pointer, numbers[version]!)
            _ = shim_SSL_CTX_set_max_proto_version(pointer, numbers[version]!)
        }
        if !tickets { SSL_CTX_set_options(pointer, shim_SSL_OP_NO_TICKET) }
    }

    deinit { SSL_CTX_free(pointer) }

    func use(certificateFile: String, keyFile: String) {
        precondition(SSL_CTX_use_certificate_chain_file(pointer, certificateFile) == 1, certificateFile)
        precondition(SSL_CTX_use_PrivateKey_file(pointer, keyFile, SSL_FILETYPE_PEM) == 1, keyFile)
    }
}

/// A session that the client keeps for its next connection.
final class TestSession {
    let pointer: OpaquePointer  // SSL_SESSION *
    init?(_ pointer: OpaquePointer?) {
        guard let pointer else { return nil }
        self.pointer = pointer
    }
    deinit { SSL_SESSION_free(pointer) }

    var id: [UInt8] {
        var count: UInt32 = 0
        let start = SSL_SESSION_get_id(pointer, &count)
        return Array(UnsafeBufferPointer(start: start, count: Int(count)))
    }

    var ticket: [UInt8] {
        var start: UnsafePointer<UInt8>?
        var count = 0
        SSL_SESSION_get0_ticket(pointer, &start, &count)
        return Array(UnsafeBufferPointer(start: start, count: count))
    }
}

/// OpenSSL's client over a `MemoryPipe`, and the gateway's connection at the other end.
final class Conversation {
    let pipe = MemoryPipe()
    let server: TLSConnection
    let settings: TestClientSettings
    let client: OpaquePointer  // SSL *
    private let incoming: OpaquePointer  // BIO *
    private let outgoing: OpaquePointer  // BIO *

    init(
        _ context: TLSContext, _ settings: TestClientSettings = TestClientSettings(), role: TLSConnection.Role = .anyControl,
        serverName: String? = nil, alpn: [String] = [], resuming session: TestSession? = nil,
        port: UInt16? = nil, bio: RecordBIO = RecordBIO()
    ) {
        server = TLSConnection(context: context, transport: pipe, role: role, port: port, bio: bio)
        self.settings = settings
        client = SSL_new(settings.pointer)
        incoming = BIO_new(BIO_s_mem())
        outgoing = BIO_new(BIO_s_mem())
        SSL_set_bio(client, incoming, outgoing)
        SSL_set_connect_state(client)
        if let serverName { _ = shim_SSL_set_tlsext_host_name(client, serverName) }
        let offered = alpn.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        if !offered.isEmpty { SSL_set_alpn_protos(client, offered, UInt32(offered.count)) }
        if let session { SSL_set_session(client, session.pointer) }
    }

    deinit { SSL_free(client) }

    /// Moves bytes both ways until both are done, or neither gets further.
    /// - Returns: the server's last step.
    @discardableResult
    func handshake() -> TLSConnection.Step {
        var step = TLSConnection.Step.wantsRead
        for _ in 0..<20 {
            ERR_clear_error()
            SSL_do_handshake(client)
            moveToServer()
            if step == .wantsRead { step = server.handshake() }
            moveToClient()
            if case .failed = step { break }
        }
        // Takes in what follows the handshake: tickets.
        _ = clientReads()
        return step
    }

    func moveToServer() {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = BIO_read(outgoing, &chunk, Int32(chunk.count))
            guard count > 0 else { return }
            pipe.toServer += chunk[..<Int(count)]
        }
    }

    func moveToClient() {
        guard !pipe.toClient.isEmpty else { return }
        BIO_write(incoming, pipe.toClient, Int32(pipe.toClient.count))
        pipe.toClient = []
    }

    func clientSends(_ text: String) {
        let bytes = Array(text.utf8)
        SSL_write(client, bytes, Int32(bytes.count))
        moveToServer()
    }

    func clientReads() -> String {
        moveToClient()
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            ERR_clear_error()
            let count = SSL_read(client, &chunk, Int32(chunk.count))
            guard count > 0 else { return String(decoding: all, as: UTF8.self) }
            all += chunk[..<Int(count)]
        }
    }

    func clientShutsDown() {
        SSL_shutdown(client)
        moveToServer()
    }

    func serverReads() -> TLSConnection.ReadStep {
        withUnsafeTemporaryAllocation(byteCount: 32_768, alignment: 16) { server.read(into: $0) }
    }

    func serverReadsText() -> String? {
        withUnsafeTemporaryAllocation(byteCount: 32_768, alignment: 16) { buffer in
            guard case .bytes(let count) = server.read(into: buffer) else { return nil }
            return String(decoding: buffer[..<count], as: UTF8.self)
        }
    }

    func serverSends(_ text: String) -> TLSConnection.WriteStep {
        Array(text.utf8).withUnsafeBytes { server.write($0) }
    }

    var clientSawCloseNotify: Bool { SSL_get_shutdown(client) & SSL_RECEIVED_SHUTDOWN != 0 }
    var clientIsResumed: Bool { SSL_session_reused(client) == 1 }

    /// The session as it is now; nil where it could not be resumed.
    func session() -> TestSession? {
        guard let session = TestSession(SSL_get1_session(client)), SSL_SESSION_is_resumable(session.pointer) == 1 else {
            return nil
        }
        return session
    }

    /// What the client was told to end with: "certificate expired".
    var clientAlert: String? {
        let code = ERR_peek_error()
        guard code != 0, ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET else { return nil }
        let alert = ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET
        // OpenSSL 3.0 has no words for it.
        return alert == TLS13_AD_CERTIFICATE_REQUIRED
            ? "certificate required" : String(cString: SSL_alert_desc_string_long(alert))
    }

    /// The common name of the certificate that the server showed.
    var serverCommonName: String? {
        guard let x509 = SSL_get1_peer_certificate(client) else { return nil }
        defer { X509_free(x509) }
        var name = [CChar](repeating: 0, count: 100)
        guard X509_NAME_get_text_by_NID(X509_get_subject_name(x509), NID_commonName, &name, 100) > 0 else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    var serverKeyAlgorithm: String? {
        guard let x509 = SSL_get1_peer_certificate(client) else { return nil }
        defer { X509_free(x509) }
        return EVP_PKEY_get0_type_name(X509_get0_pubkey(x509)).map { String(cString: $0) }
    }
}

extension TLSConnection.Role {
    static var anyControl: TLSConnection.Role { .control(tag: .random()) }
}

extension TestClientSettings {
    /// - Parameter signatures: in OpenSSL's notation, "ECDSA+SHA256".
    func offer(signatures: String) -> Bool { shim_SSL_CTX_set1_sigalgs_list(pointer, signatures) == 1 }
}

extension Conversation {
    func handshakeClientOnly() {
        moveToClient()
        ERR_clear_error()
        SSL_do_handshake(client)
        moveToServer()
    }
}

extension SessionCache {
    func keepCopy(of session: TestSession) {
        SSL_SESSION_up_ref(session.pointer)
        keep(session.pointer)
    }

    func holds(_ id: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let session = find(id, where: { _ in true }) else { return false }
        SSL_SESSION_free(session)
        return true
    }
}
