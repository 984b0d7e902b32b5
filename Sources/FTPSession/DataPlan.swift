import FTPProtocol
public import Wire

/// Who listens and who dials, on each side of the gateway: four combinations, one type. Made by PASV, EPSV, PORT or EPRT, used
/// up by the next transfer command whatever comes of it.
public struct DataPlan: Equatable, Sendable {
    public enum Client: Equatable, Sendable {
        /// The client dials a port of ours.
        case passive
        /// We dial the client.
        indirect case active(SocketAddress)
    }
    /// How far the client's own side has come.
    public enum Progress: Equatable, Sendable { case waiting, begun, ready }

    public var client: Client
    public var clientProgress = Progress.waiting
    /// A data connection has failed already: the next transfer command hears of it.
    public var failure: DataFailure?

    public init(client: Client) { self.client = client }
}

/// How a transfer's data connections ended.
public enum DataOutcome: Equatable, Sendable {
    /// Ended in order on both sides. Download: the last byte, close_notify and FIN are out. Upload: close_notify (or the FIN of
    /// a clear connection) has come, and FIN is out to the backend.
    case completed(bytes: Int)
    case failed(DataFailure, bytes: Int)

    public var bytes: Int {
        switch self {
        case .completed(let bytes), .failed(_, let bytes): bytes
        }
    }
}

/// Why data connections did not come about, or broke (PROTOCOL 5.2, 5.3, 5.5). Every session has room for one, and few ever do.
public indirect enum DataFailure: Equatable, Sendable {
    // The client's side.
    case clientNeverConnected(SocketAddress)
    case clientRefused(SocketAddress, reason: String)
    case clientUnreachable(SocketAddress, reason: String)
    case noHandshake
    case handshakeFailed(String)
    case handshakeTimeout
    case notResumed
    case foreignSession
    /// It did not resume, and several sessions of its address wait on its port.
    case ambiguousSession
    case certificateDiffers
    /// The upload's end came without close_notify, between two records: what `--upload-eof lenient` forgives.
    case uploadTruncated
    /// The upload ended within a record.
    case uploadCut
    /// What came in an upload is no TLS, or was tampered with.
    case tlsFailed(String)
    /// The client reset the connection of an upload.
    case uploadReset(wasProtected: Bool)
    /// The client closed or reset before it had everything.
    case clientClosedEarly
    case stalled
    /// The client asked for new TLS keys, and the kernel, which encrypts, cannot change them.
    case keysAreFixed
    /// The kernel encrypts, and its keys have protected as much as `--rekey-bytes` allows.
    case keysUsedUp

    // The backend's side.
    case backendRefused
    case backendTimeout
    case backendUnreachable(String)
    /// The backend reset the connection in the middle.
    case backendBroke

    /// One word for metrics and for the log's `reason`.
    public var label: String {
        switch self {
        case .clientNeverConnected: "client_never_connected"
        case .clientRefused: "client_refused"
        case .clientUnreachable: "client_unreachable"
        case .noHandshake: "data_no_handshake"
        case .handshakeFailed: "data_handshake_failed"
        case .handshakeTimeout: "handshake_timeout"
        case .notResumed: "data_not_resumed"
        case .foreignSession: "data_session_foreign"
        case .ambiguousSession: "data_session_ambiguous"
        case .certificateDiffers: "data_certificate_differs"
        case .uploadTruncated: "upload_truncated"
        case .uploadCut: "upload_cut"
        case .tlsFailed: "data_tls_failed"
        case .uploadReset: "upload_reset"
        case .clientClosedEarly: "client_closed_data"
        case .stalled: "data_timeout"
        case .keysAreFixed: "ktls_key_update"
        case .keysUsedUp: "ktls_keys_used_up"
        case .backendRefused: "backend_data_refused"
        case .backendTimeout: "backend_data_timeout"
        case .backendUnreachable: "backend_data_unreachable"
        case .backendBroke: "backend_broke_off"
        }
    }

    /// Where it was an upload, the client has broken it off: what the backend has of it must not pass for the whole.
    public var isIncompleteUpload: Bool {
        switch self {
        case .uploadTruncated, .uploadCut, .uploadReset, .tlsFailed: true
        default: false
        }
    }

    /// More for the log, where there is more to say.
    public var detail: String? {
        switch self {
        case .clientNeverConnected(let address): "\(address)"
        case .clientRefused(let address, let reason), .clientUnreachable(let address, let reason): "\(address): \(reason)"
        case .handshakeFailed(let reason), .tlsFailed(let reason), .backendUnreachable(let reason): reason
        default: nil
        }
    }

    /// What the client is told.
    var reply: Reply {
        switch self {
        case .clientNeverConnected(let address): .clientNeverConnected(address)
        case .clientRefused(let address, let reason), .clientUnreachable(let address, let reason):
            .clientDataFailed(address, reason)
        case .noHandshake: .noDataHandshake
        case .handshakeFailed(let reason): .dataHandshakeFailed(reason)
        case .handshakeTimeout: .dataHandshakeFailed("no complete handshake in time")
        case .notResumed, .foreignSession: .dataNotResumed
        case .ambiguousSession: .dataAmbiguous
        case .certificateDiffers: .dataCertificateDiffers
        case .uploadTruncated: .uploadTruncated
        case .uploadCut: .uploadCut
        case .tlsFailed(let reason): .dataHandshakeFailed(reason)
        case .uploadReset(let wasProtected): wasProtected ? .uploadReset : .uploadResetInClear
        case .clientClosedEarly: .clientClosedData
        case .stalled: .dataStalled
        case .keysAreFixed: .dataKeysAreFixed
        case .keysUsedUp: .dataKeysUsedUp
        case .backendRefused: .backendDataRefused
        case .backendTimeout: .backendDataTimedOut
        case .backendUnreachable: .backendDataUnreachable
        case .backendBroke: .backendBrokeOff
        }
    }
}
