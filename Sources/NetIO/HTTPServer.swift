import CLibevent
import Glibc

/// Answers HTTP on a loop through libevent's evhttp: for pages and numbers that the operator's own programs ask for, not for
/// strangers.
public final class HTTPServer {
    public struct Response: Sendable {
        public var status: Int
        public var contentType: String
        public var body: String
        public init(status: Int, contentType: String = "text/plain; charset=utf-8", body: String) {
            self.status = status
            self.contentType = contentType
            self.body = body
        }
    }

    private let http: OpaquePointer  // evhttp *
    private let answer: (_ path: String) -> Response

    /// Requests are short: a body is refused, and so is a client that takes its time.
    private static let headerLimit = 8 * 1024
    private static let bodyLimit = 1024
    private static let timeout: Duration = .seconds(10)

    /// - Parameter answer: is given the path of each GET or HEAD.
    public init(loop: EventLoop, _ answer: @escaping (_ path: String) -> Response) throws(SystemError) {
        guard let http = evhttp_new(loop.base) else { throw SystemError("HTTP server") }
        self.http = http
        self.answer = answer
        evhttp_set_allowed_methods(http, UInt16(EVHTTP_REQ_GET.rawValue | EVHTTP_REQ_HEAD.rawValue))
        evhttp_set_max_headers_size(http, Self.headerLimit)
        evhttp_set_max_body_size(http, Self.bodyLimit)
        evhttp_set_timeout(http, Int32(Self.timeout.components.seconds))
        evhttp_set_gencb(
            http,
            { request, context in
                guard let request, let context else { return }
                Unmanaged<HTTPServer>.fromOpaque(context).takeUnretainedValue().respond(to: request)
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit { evhttp_free(http) }

    /// Takes over a listening socket.
    public func accept(on socket: consuming Socket) throws(SystemError) {
        let descriptor = socket.take()
        guard evhttp_accept_socket(http, descriptor) == 0 else {
            let error = SystemError("HTTP server")
            close(descriptor)
            throw error
        }
    }

    private func respond(to request: OpaquePointer) {
        let uri = evhttp_request_get_uri(request).map { String(cString: $0) } ?? "/"
        let response = answer(String(uri.prefix { $0 != "?" }))
        evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", response.contentType)
        evhttp_add_header(evhttp_request_get_output_headers(request), "Cache-Control", "no-store")
        let buffer = evbuffer_new()
        defer { evbuffer_free(buffer) }
        response.body.utf8.withContiguousStorageIfAvailable { _ = evbuffer_add(buffer, $0.baseAddress, $0.count) }
            ?? Array(response.body.utf8).withUnsafeBytes { _ = evbuffer_add(buffer, $0.baseAddress, $0.count) }
        evhttp_send_reply(request, Int32(response.status), nil, buffer)
    }
}
