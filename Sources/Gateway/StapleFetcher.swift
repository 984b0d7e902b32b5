import NetIO
import PKI
import TLS
import Telemetry

/// Asks the responders of our certificates' authorities whether these are still good, on a thread of its own, so that no
/// handshake ever waits for one (`--ocsp-fetch`).
final class StapleFetcher {
    private let loop: EventLoop
    private let client: HTTPClient
    private let log: EventLog
    private var context: TLSContext
    private var timers: [LoopTimer] = []
    private var mail: MailboxReader?

    private static let patience: Duration = .seconds(15)
    /// Between two attempts where the last one failed, and the least between any two: responders are not to be flooded.
    private static let retryDelay: Duration = .seconds(300)
    private static let longestDelay: Duration = .seconds(12 * 3600)

    private init(_ context: TLSContext, _ contexts: Mailbox<TLSContext>, log: EventLog) throws(SystemError) {
        loop = try EventLoop()
        client = HTTPClient(loop: loop)
        self.log = log
        self.context = context
        mail = MailboxReader(contexts, loop: loop) { [unowned self] in
            self.context = $0
            begin()
        }
        begin()
    }

    /// - Returns: where another context goes after a reload.
    static func start(_ context: TLSContext, log: EventLog) throws(SystemError) -> Mailbox<TLSContext> {
        let contexts = try Mailbox<TLSContext>()
        try Thread.start(name: "ocsp") {
            do throws(SystemError) {
                let fetcher = try StapleFetcher(context, contexts, log: log)
                withExtendedLifetime(fetcher) { fetcher.loop.run() }
            } catch {
                log.error("ocsp.failed", ["reason": .string("\(error)")])
            }
        }
        return contexts
    }

    private func begin() {
        timers = []
        for (certificate, issuer) in context.unstapled {
            guard let request = OCSPRequest(for: certificate, issuer: issuer) else { continue }
            fetch(request, certificate, issuer)
        }
    }

    private func fetch(_ request: OCSPRequest, _ certificate: Certificate, _ issuer: Certificate) {
        client.post(request.body, to: request.url, contentType: "application/ocsp-request", within: Self.patience) {
            [weak self] result in
            guard let self else { return }
            var delay = Self.retryDelay
            do {
                let nextUpdate = try context.store.staples.keep(result.get(), for: certificate, issuer: issuer)
                if let nextUpdate { delay = Self.delay(until: nextUpdate) }
                log.info("ocsp.stapled", ["certificate": .string(certificate.subject), "responder": .string(request.url)])
            } catch {
                log.warning(
                    "ocsp.failed",
                    [
                        "certificate": .string(certificate.subject), "responder": .string(request.url),
                        "reason": .string("\(error)"),
                    ])
            }
            let timer = LoopTimer(loop: loop) { [unowned self] in fetch(request, certificate, issuer) }
            timer.start(after: delay)
            timers.append(timer)
        }
    }

    /// Half of the time that is left, so that one failure more is no harm.
    private static func delay(until nextUpdate: Int64) -> Duration {
        let left = Duration.seconds(max(0, nextUpdate - EventLoop.wallClock))
        return min(longestDelay, max(retryDelay, left / 2))
    }
}
