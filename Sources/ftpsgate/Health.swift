import Admin
import Gateway
import Synchronization
import System
import TLS
import Telemetry

/// How the gateway is, from what it reports: what `/livez` and `/readyz` say.
final class Health: Sendable {
    /// How often the loops are asked whether they turn, where the service manager asks for nothing else.
    static let interval: Duration = .seconds(10)
    /// Silent for as long as this, some loop is stuck.
    private static let patience: Duration = .seconds(45)

    private struct State {
        var isServing = false
        var isStopping = false
        var lastTurn = ContinuousClock.now
    }

    private let state = Mutex(State())

    func note(_ milestone: GatewayServer.Milestone) {
        state.withLock { state in
            state.lastTurn = .now
            switch milestone {
            case .ready: state.isServing = true
            case .stopping: state.isStopping = true
            case .reloading, .alive: break
            }
        }
    }

    func source(_ log: EventLog) -> AdminSource {
        AdminSource(
            ailment: {
                self.state.withLock { state in
                    state.isServing && .now - state.lastTurn > Self.patience ? "an event loop is stuck; restart the process" : nil
                }
            },
            unreadiness: {
                self.state.withLock { state in state.isStopping ? "draining" : state.isServing ? nil : "starting" }
            },
            metrics: {
                log.metrics.set(.tlsContexts, to: TLSContext.count)
                return log.metrics.text
            },
            onFailure: { log.error("admin.failed", ["reason": .string($0)]) })
    }
}
