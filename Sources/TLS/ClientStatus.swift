import COpenSSL
import Glibc
public import PKI
import Synchronization

/// What authorities' responders have said of clients' certificates (`--client-ocsp`), by certificate; shared by every worker and
/// over reloads. Handshakes look here and never wait.
public final class ClientStatusStore: Sendable {
    private enum Status {
        case good(until: Int64)
        case revoked(until: Int64)
        /// Nobody answered: those who need no answer are not kept waiting for another.
        case unknown(until: Int64)

        var until: Int64 {
            switch self {
            case .good(let until), .revoked(let until), .unknown(let until): until
            }
        }
    }

    private let statuses = Mutex<[[UInt8]: Status]>([:])
    /// As long as an answer counts at most, in seconds: revocations are to be heard of.
    private static let longest: Int64 = 3600
    private static let patience: Int64 = 30
    private static let limit = 10_000

    func isRevoked(_ certificate: Certificate) -> Bool {
        if case .revoked = status(of: certificate) { true } else { false }
    }

    /// - Parameter isRequired: whether a good word is needed.
    func mustAsk(about certificate: Certificate, isRequired: Bool) -> Bool {
        switch status(of: certificate) {
        case .good, .revoked: false
        case .unknown: isRequired
        case nil: true
        }
    }

    private func status(of certificate: Certificate) -> Status? {
        let now = Int64(time(nil))
        return statuses.withLock { statuses in
            guard let status = statuses[certificate.der] else { return nil }
            if status.until > now { return status }
            statuses[certificate.der] = nil
            return nil
        }
    }

    /// Judges and keeps what a responder says.
    /// - Returns: why the certificate is not taken; nil where it is good.
    public func keep(_ response: [UInt8], for certificate: Certificate, issuer: Certificate) -> CertificateRejection? {
        let latest = Int64(time(nil)) + Self.longest
        switch OCSPResponse.verdict(response, certificate: certificate, issuer: issuer) {
        case .good(let until):
            keep(.good(until: min(until ?? latest, latest)), certificate)
            return nil
        case .revoked:
            keep(.revoked(until: latest), certificate)
            return .revoked
        case .bad(let reason):
            keepUnknown(certificate)
            return .noStatus(reason)
        }
    }

    /// Nobody answers.
    public func keepUnknown(_ certificate: Certificate) {
        keep(.unknown(until: Int64(time(nil)) + Self.patience), certificate)
    }

    private func keep(_ status: Status, _ certificate: Certificate) {
        statuses.withLock { statuses in
            // What is forgotten is asked again.
            if statuses.count >= Self.limit { statuses.removeAll() }
            statuses[certificate.der] = status
        }
    }
}

/// What is to be found out about a client before it may go on.
public struct ClientStatusQuestion: Sendable {
    public let certificate: Certificate
    /// Nil where nobody knows it.
    public let issuer: Certificate?
    /// `hard`: without a good answer the client is turned away.
    public let isRequired: Bool
}

extension TLSConnection {
    /// What the client's authority is to be asked once the handshake is over; nil where nothing is, or all is known.
    public var statusQuestion: ClientStatusQuestion? {
        guard let trust = selected.verification.trust, selected.verification.policy.statusCheck != .off,
            let certificate = facts?.clientCertificate
        else { return nil }
        let isRequired = selected.verification.policy.statusCheck == .hard
        guard store.clientStatuses.mustAsk(about: certificate, isRequired: isRequired) else { return nil }
        let issuer = (trust.authorities + store.intermediates.all).first { $0 != certificate && certificate.isSigned(by: $0) }
        return ClientStatusQuestion(certificate: certificate, issuer: issuer, isRequired: isRequired)
    }
}
