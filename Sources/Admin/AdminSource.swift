import NetIO

/// Reads the gateway, for the admin server: any thread may call these.
public struct AdminSource: Sendable {
    /// Why the process should be restarted; nil while it is well.
    public var ailment: @Sendable () -> String?
    /// Why no new clients should be sent here; nil while they may come.
    public var unreadiness: @Sendable () -> String?
    /// Prometheus's text format.
    public var metrics: @Sendable () -> String
    /// The server cannot serve.
    public var onFailure: @Sendable (String) -> Void

    public init(
        ailment: @escaping @Sendable () -> String?, unreadiness: @escaping @Sendable () -> String?,
        metrics: @escaping @Sendable () -> String, onFailure: @escaping @Sendable (String) -> Void
    ) {
        self.ailment = ailment
        self.unreadiness = unreadiness
        self.metrics = metrics
        self.onFailure = onFailure
    }

    func answer(_ path: String) -> HTTPServer.Response {
        switch path {
        case "/livez": Self.verdict(ailment())
        case "/readyz": Self.verdict(unreadiness())
        case "/metrics":
            HTTPServer.Response(status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", body: metrics())
        case "/": HTTPServer.Response(status: 200, body: "ftpsgate: /livez /readyz /metrics\n")
        default: HTTPServer.Response(status: 404, body: "Nothing is here; see /livez, /readyz and /metrics.\n")
        }
    }

    private static func verdict(_ problem: String?) -> HTTPServer.Response {
        guard let problem else { return HTTPServer.Response(status: 200, body: "ok\n") }
        return HTTPServer.Response(status: 503, body: problem + "\n")
    }
}
