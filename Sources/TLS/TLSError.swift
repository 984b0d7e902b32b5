public import PKI

/// Why a connection's TLS failed, by who is to blame.
public enum TLSError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The peer broke the protocol, or offered nothing that we take.
    case peerMisbehaved(String)
    /// The peer sent a fatal alert.
    case peerAlert(String)
    /// The peer's certificate, or the want of one.
    case certificateRejected(CertificateRejection, subject: String?)
    /// What came is no TLS at all.
    case notTLS
    /// The peer left in the middle of the handshake.
    case disconnected
    case transport(errno: Int32)
    /// The peer has asked for new keys, and the kernel has ours, which it cannot change.
    case keysAreFixed
    /// OpenSSL itself.
    case library(String)

    public var description: String {
        switch self {
        case .peerMisbehaved(let reason): reason
        case .peerAlert(let alert): "the client sent the alert \"\(alert)\""
        case .certificateRejected(let rejection, _): "client certificate rejected: \(rejection)"
        case .notTLS: "the client does not speak TLS"
        case .disconnected: "the client left during the handshake"
        case .transport(let errno): "connection broken (errno \(errno))"
        case .keysAreFixed: "the client asked for new keys, which the kernel cannot make"
        case .library(let reason): "OpenSSL failed: \(reason)"
        }
    }
}

/// What is wrong with the operator's choice: one sentence that names the file and what to do.
public struct TLSConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
