import Glibc
import System
import Testing
import Wire

@Suite struct ExchangeTests {
    /// Listens on a kernel-chosen loopback port, and answers one connection from a thread of its own.
    private func server(answer: String?) throws -> UInt16 {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(listener, $0, length)
                getsockname(listener, $0, &length)
            }
        }
        listen(listener, 1)
        guard let answer else { return UInt16(bigEndian: name.sin_port) }
        var thread = pthread_t()
        let job = Unmanaged.passRetained(Job(listener: listener, answer: answer))
        pthread_create(
            &thread, nil,
            { context in
                let job = Unmanaged<Job>.fromOpaque(context!).takeRetainedValue()
                let connection = accept(job.listener, nil, nil)
                var question = [UInt8](repeating: 0, count: 100)
                recv(connection, &question, question.count, 0)
                send(connection, job.answer, job.answer.utf8.count, 0)
                close(connection)
                close(job.listener)
                return nil
            }, job.toOpaque())
        pthread_detach(thread)
        return UInt16(bigEndian: name.sin_port)
    }

    private final class Job: Sendable {
        let listener: Int32
        let answer: String
        init(listener: Int32, answer: String) {
            self.listener = listener
            self.answer = answer
        }
    }

    private func loopback(_ port: UInt16) -> Exchange.Address { .tcp(SocketAddress(ip: IPAddress(127, 0, 0, 1), port: port)) }

    @Test func theAnswerIsReadToItsEnd() throws {
        let port = try server(answer: "HTTP/1.1 200 OK\r\n\r\nok\n")
        #expect(try Exchange.ask(loopback(port), "GET /\r\n\r\n", within: .seconds(5)).get() == "HTTP/1.1 200 OK\r\n\r\nok\n")
    }

    @Test func silenceEndsAtTheLimit() throws {
        let port = try server(answer: nil)
        #expect(Exchange.ask(loopback(port), "hello", within: .milliseconds(50)) == .failure(SystemFailure(code: EAGAIN)))
    }

    @Test func nobodyThereIsSaid() {
        #expect(Exchange.ask(.unix(path: "/nobody/here"), "hello", within: .seconds(1)) == .failure(SystemFailure(code: ENOENT)))
        let long = "/" + String(repeating: "x", count: 200)
        #expect(Exchange.ask(.unix(path: long), "hello", within: .seconds(1)) == .failure(SystemFailure(code: ENAMETOOLONG)))
    }
}
