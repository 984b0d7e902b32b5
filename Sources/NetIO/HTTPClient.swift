import CLibevent
import Glibc

/// Asks one question over HTTP, through libevent's evhttp.
public final class HTTPClient {
    private let dns: OpaquePointer?  // evdns_base *
    private let loop: EventLoop
    private var running: [ObjectIdentifier: Request] = [:]

    private static let bodyLimit = 256 * 1024

    /// One exchange; kept until it is over.
    fileprivate final class Request {
        let connection: OpaquePointer  // evhttp_connection *
        let completion: (Result<[UInt8], Failure>) -> Void
        unowned let client: HTTPClient

        init(_ connection: OpaquePointer, _ client: HTTPClient, _ completion: @escaping (Result<[UInt8], Failure>) -> Void) {
            self.connection = connection
            self.client = client
            self.completion = completion
        }

        deinit { evhttp_connection_free(connection) }
    }

    /// Why there is no answer.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    public init(loop: EventLoop) {
        self.loop = loop
        dns = evdns_base_new(loop.base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE)
    }

    deinit {
        running = [:]
        if let dns { evdns_base_free(dns, 0) }
    }

    /// POSTs `body` to a URL that begins with "http://"; the answer must have status 200.
    public func post(
        _ body: [UInt8], to url: String, contentType: String, within limit: Duration,
        _ completion: @escaping (Result<[UInt8], Failure>) -> Void
    ) {
        guard let uri = evhttp_uri_parse(url) else {
            return completion(.failure(Failure(description: "its address is malformed")))
        }
        defer { evhttp_uri_free(uri) }
        guard let host = evhttp_uri_get_host(uri).map({ String(cString: $0) }), !host.isEmpty else {
            return completion(.failure(Failure(description: "its address names no host")))
        }
        let port = evhttp_uri_get_port(uri)
        let path = evhttp_uri_get_path(uri).map { String(cString: $0) } ?? ""
        guard
            let connection = evhttp_connection_base_new(loop.base, dns, host, port > 0 ? UInt16(clamping: Int(port)) : 80)
        else { return completion(.failure(Failure(description: "no connection can be made"))) }
        evhttp_connection_set_timeout(connection, Int32(clamping: limit.components.seconds))
        evhttp_connection_set_max_body_size(connection, Self.bodyLimit)
        let request = Request(connection, self, completion)
        running[ObjectIdentifier(request)] = request
        let exchange = evhttp_request_new(
            { exchange, context in
                guard let context else { return }
                Unmanaged<Request>.fromOpaque(context).takeUnretainedValue().answered(exchange)
            }, Unmanaged.passUnretained(request).toOpaque())
        let headers = evhttp_request_get_output_headers(exchange)
        evhttp_add_header(headers, "Host", port > 0 ? "\(host):\(port)" : host)
        evhttp_add_header(headers, "Content-Type", contentType)
        evhttp_add_header(headers, "Connection", "close")
        evbuffer_add(evhttp_request_get_output_buffer(exchange), body, body.count)
        evhttp_make_request(connection, exchange, EVHTTP_REQ_POST, path.isEmpty ? "/" : path)
    }

    fileprivate func finish(_ request: Request, _ result: Result<[UInt8], Failure>) {
        // evhttp is still in the middle of it.
        loop.later { [weak self] in self?.running[ObjectIdentifier(request)] = nil }
        request.completion(result)
    }
}

extension HTTPClient.Request {
    fileprivate func answered(_ exchange: OpaquePointer?) {
        client.finish(self, Self.result(exchange))
    }

    private static func result(_ exchange: OpaquePointer?) -> Result<[UInt8], HTTPClient.Failure> {
        guard let exchange, evhttp_request_get_response_code(exchange) != 0 else {
            return .failure(HTTPClient.Failure(description: "it cannot be reached"))
        }
        let status = evhttp_request_get_response_code(exchange)
        guard status == 200 else { return .failure(HTTPClient.Failure(description: "it answered with status \(status)")) }
        let buffer = evhttp_request_get_input_buffer(exchange)
        let bytes = [UInt8](unsafeUninitializedCapacity: evbuffer_get_length(buffer)) { target, used in
            used = max(0, Int(evbuffer_remove(buffer, target.baseAddress, target.count)))
        }
        return .success(bytes)
    }
}
