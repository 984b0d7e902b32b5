import NetIO
import PKI
import TLS
import Telemetry

/// Asks the responders of clients' authorities whether a certificate is revoked (`--client-ocsp`): on the worker's own loop,
/// where nobody waits but the client that it is about. Its answer serves everyone for a while (`ClientStatusStore`).
final class ClientStatusChecker {
    private let loop: EventLoop
    /// Made when the first question comes: most gateways ask none.
    private lazy var client = HTTPClient(loop: loop)
    private let log: EventLog
    /// Who waits for an answer, by certificate: each is asked about once at a time.
    private var waiting: [[UInt8]: [(CertificateRejection?) -> Void]] = [:]

    /// Well below `--handshake-timeout`, to which the wait belongs.
    private static let patience: Duration = .seconds(5)

    init(loop: EventLoop, log: EventLog) {
        self.loop = loop
        self.log = log
    }

    /// - Parameter completion: is given why the client is turned away; nil where it may go on. May be called at once.
    func ask(_ question: ClientStatusQuestion, _ store: SessionStore, _ completion: @escaping (CertificateRejection?) -> Void) {
        guard let issuer = question.issuer, let request = OCSPRequest(for: question.certificate, issuer: issuer) else {
            return completion(
                question.isRequired ? .noStatus("the certificate names no responder that could be asked over http") : nil)
        }
        let der = question.certificate.der
        let judged: (CertificateRejection?) -> Void = { rejection in
            // Without an answer, soft lets it pass.
            completion(rejection?.reason == .noStatus && !question.isRequired ? nil : rejection)
        }
        guard waiting[der] == nil else {
            waiting[der]?.append(judged)
            return
        }
        waiting[der] = [judged]
        client.post(request.body, to: request.url, contentType: "application/ocsp-request", within: Self.patience) {
            [weak self] result in
            guard let self else { return }
            var rejection: CertificateRejection?
            switch result {
            case .success(let response):
                rejection = store.clientStatuses.keep(response, for: question.certificate, issuer: issuer)
            case .failure(let failure):
                store.clientStatuses.keepUnknown(question.certificate)
                rejection = .noStatus("\(failure)")
            }
            if let rejection, rejection.reason == .noStatus {
                log.warning(
                    "ocsp.client_failed",
                    [
                        "certificate": .string(question.certificate.subject), "responder": .string(request.url),
                        "reason": .string(rejection.description),
                    ])
            }
            for completion in waiting.removeValue(forKey: der) ?? [] { completion(rejection) }
        }
    }
}
