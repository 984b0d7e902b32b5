import Glibc
import NetIO
import Synchronization
import Testing
import Wire

@testable import Admin

/// Sends one request over a connected socket and reads the answer to its end.
private func ask(_ descriptor: Int32, _ request: String) -> String {
    defer { close(descriptor) }
    var limit = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    let bytes = Array(request.utf8)
    _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    var answer: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = recv(descriptor, &chunk, chunk.count, 0)
        guard count > 0 else { return String(decoding: answer, as: UTF8.self) }
        answer += chunk[..<count]
    }
}

private func connected(to address: AdminServer.Address) -> Int32 {
    switch address {
    case .tcp(let address):
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = address.port.bigEndian
        name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        return result == 0 ? descriptor : -1
    case .unix(let path):
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let result = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        return result == 0 ? descriptor : -1
    }
}

private func get(_ path: String) -> String { "GET \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" }

@Suite struct WhatTheAdminServerSays {
    private let isDraining = Shared()
    private final class Shared: Sendable { let value = Atomic(false) }

    private func start(_ address: AdminServer.Address = .tcp(SocketAddress(ip: IPAddress(127, 0, 0, 1), port: 0))) throws
        -> AdminServer.Address
    {
        let isDraining = isDraining
        return try AdminServer.start(
            at: address,
            source: AdminSource(
                ailment: { nil }, unreadiness: { isDraining.value.load(ordering: .relaxed) ? "draining" : nil },
                metrics: { "ftpsgate_sessions_active 1\n" }, onFailure: { Issue.record("\($0)") }))
    }

    @Test func metricsAndHealthAreAnswered() throws {
        let address = try start()
        let metrics = ask(connected(to: address), get("/metrics?x=1"))
        #expect(metrics.hasPrefix("HTTP/1.1 200 ") && metrics.hasSuffix("\r\n\r\nftpsgate_sessions_active 1\n"))
        #expect(metrics.contains("Content-Type: text/plain; version=0.0.4"))
        #expect(ask(connected(to: address), get("/livez")).hasPrefix("HTTP/1.1 200 "))
        #expect(ask(connected(to: address), get("/nothing")).hasPrefix("HTTP/1.1 404 "))
        #expect(
            ask(connected(to: address), "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .hasPrefix("HTTP/1.1 501 "))
    }

    @Test func readinessEndsWithTheDrain() throws {
        let address = try start()
        #expect(ask(connected(to: address), get("/readyz")).hasPrefix("HTTP/1.1 200 "))
        isDraining.value.store(true, ordering: .relaxed)
        let answer = ask(connected(to: address), get("/readyz"))
        #expect(answer.hasPrefix("HTTP/1.1 503 ") && answer.hasSuffix("draining\n"))
    }

    @Test func aUNIXSocketServesAsWellAndReplacesADeadOne() throws {
        var template = Array("/tmp/ftpsgate-admin-XXXXXX".utf8CString)
        let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
        let path = "\(folder)/admin.sock"
        defer {
            unlink(path)
            rmdir(folder)
        }
        // What a process that was killed leaves behind.
        do { _ = try Socket.listening(atPath: path) }
        let address = try start(.unix(path: path))
        #expect(ask(connected(to: address), get("/livez")).hasPrefix("HTTP/1.1 200 "))
        #expect(throws: SystemError.self) { _ = try Socket.listening(atPath: path) }
    }
}
