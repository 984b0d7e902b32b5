import FTPProtocol
import FTPSession
import NetIO
import PKI
import TLS
import Telemetry
import Wire

/// One session's lines in the log: one when it ends, one for each transfer, and at debug level every command and reply.
final class SessionLog {
    let id: String
    private let log: EventLog
    private let client: SocketAddress
    private let scheduler: any Scheduler
    private let started: Duration
    private var transferStarted: Duration?
    private var user: String?
    private var tls: TLSConnection.Facts?
    private var transfers = 0
    private var bytes = 0
    private var hasSpoken = false

    init(id: String, client: SocketAddress, log: EventLog, scheduler: any Scheduler) {
        self.id = id
        self.client = client
        self.log = log
        self.scheduler = scheduler
        started = scheduler.now
    }

    func opened(isImplicit: Bool) {
        log.debug(
            "session.opened",
            ["id": .string(id), "client": .string("\(client)"), "mode": .string(isImplicit ? "implicit" : "explicit")])
    }

    func secured(_ facts: TLSConnection.Facts?) {
        tls = facts
        if let facts { log.metrics.countHandshake(facts, channel: "control") }
        guard let facts, let certificate = facts.clientCertificate else { return }
        log.info(
            "tls.client_accepted",
            [
                "id": .string(id), "client": .string("\(client)"), "subject": .string(certificate.subject),
                "sha256": .string(certificate.sha256Fingerprint), "resumed": facts.isResumed ? "yes" : "no",
            ])
    }

    /// - Parameter channel: "control" or "data".
    func rejected(_ rejection: CertificateRejection, of subject: String?, _ channel: String) {
        log.rejected(rejection, of: subject, client: client, session: id, channel)
    }

    func transferStarts() { transferStarted = scheduler.now }

    /// The description masks passwords.
    func command(_ command: Command) {
        hasSpoken = true
        log.debug("command", ["id": .string(id), "line": .string("\(command)")])
    }

    func reply(_ reply: Reply) {
        log.debug("reply", ["id": .string(id), "line": .string("\(reply)")])
    }

    func backendUnavailable(_ problem: BackendDialer.Problem) {
        log.warning(
            "backend.unavailable", ["id": .string(id), "backend": .string(problem.target), "reason": .string(problem.reason)])
    }

    /// - Parameter moved: bytes that the running transfer has moved so far.
    func note(_ note: Note, moved: Int) {
        switch note {
        case .loggedIn(let user):
            self.user = user
            log.info("login", ["id": .string(id), "client": .string("\(client)"), "user": .string(user)])
        case .loginFailed(let user):
            log.warning("login.failed", ["id": .string(id), "client": .string("\(client)"), "user": .string(user)])
        case .refused(let refusal, let command):
            log.info(
                "command.refused", ["id": .string(id), "reason": .string(refusal.rawValue), "command": .string("\(command)")])
        case .unexpectedReply(let verb, let code):
            log.warning(
                "backend.unexpected_reply", ["id": .string(id), "command": .string(verb.name), "code": .integer(code)])
        case .malformedLine(let malformed):
            log.info("line.refused", ["id": .string(id), "reason": .string(malformed.rawValue)])
        case .controlCleared: log.info("control.cleared", ["id": .string(id), "client": .string("\(client)")])
        case .unaskedReply(let code):
            log.warning("backend.unasked_reply", ["id": .string(id), "code": .integer(code)])
        case .backendNonsense:
            log.warning("backend.not_a_reply", ["id": .string(id)])
        case .backendMayHaveKeptUpload(let bytes):
            log.warning("backend.may_have_kept_upload", ["id": .string(id), "bytes": .integer(bytes)])
        case .transferEnded(let record): transferEnded(record, moved: moved)
        }
    }

    private func transferEnded(_ record: TransferRecord, moved: Int) {
        let moved = record.outcome?.bytes ?? moved
        transfers += 1
        bytes += moved
        log.metrics.add(.transferBytes, ["direction": record.direction.rawValue], by: moved)
        var reason = record.interruption?.label
        var detail: String?
        if case .failed(let failure, _) = record.outcome {
            reason = failure.label
            detail = failure.detail
        }
        log.info(
            "transfer",
            [
                "id": .string(id), "user": user.map { .string($0) }, "command": .string(record.command.verb.name),
                "path": .string(record.command.argumentText), "direction": .string(record.direction.rawValue),
                "bytes": .integer(moved), "ms": transferStarted.map { .integer((scheduler.now - $0).milliseconds) },
                "code": .integer(record.code), "reason": reason.map { .string($0) }, "detail": detail.map { .string($0) },
            ])
        transferStarted = nil
    }

    func closed(_ reason: CloseReason) {
        log.record(
            level(of: reason), "session.closed",
            [
                "id": .string(id), "client": .string("\(client)"), "user": user.map { .string($0) },
                "tls": tls.map { .string($0.version) }, "cipher": tls.map { .string($0.cipher) },
                "reason": .string(reason.label), "detail": reason.detail.map { .string($0) }, "transfers": .integer(transfers),
                "bytes": .integer(bytes), "ms": .integer((scheduler.now - started).milliseconds),
            ])
    }
}

extension SessionLog {
    /// Balancers and health checks connect and say nothing, every few seconds.
    private func level(of reason: CloseReason) -> EventLog.Level {
        switch reason {
        case .clientClosed, .clientReset: hasSpoken ? .info : .debug
        default: reason.isWarning ? .warning : .info
        }
    }
}

extension Duration {
    fileprivate var milliseconds: Int { Int(self / .milliseconds(1)) }
}

extension EventLog {
    /// A client's certificate was not taken, or none was shown.
    /// - Parameters:
    ///   - subject: the certificate's, where there is one.
    ///   - channel: "control" or "data".
    func rejected(
        _ rejection: CertificateRejection, of subject: String?, client: SocketAddress, session: String, _ channel: String
    ) {
        warning(
            "tls.client_rejected",
            [
                "id": .string(session), "client": .string("\(client)"), "reason": .string(rejection.reason.rawValue),
                "detail": .string(rejection.description), "subject": subject.map { .string($0) }, "channel": .string(channel),
            ])
    }
}

extension Metrics {
    /// - Parameter channel: "control" or "data".
    func countHandshake(_ facts: TLSConnection.Facts, channel: String) {
        add(.handshakes, ["channel": channel, "version": facts.version, "resumed": facts.isResumed ? "yes" : "no"])
    }
}
