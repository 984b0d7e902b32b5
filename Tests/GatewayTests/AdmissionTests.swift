import Telemetry
import Testing
import Wire

@testable import Gateway

/// Which clients may connect, and which worker they go to.
@Suite struct Admissions {
    private let metrics = Metrics()

    private func admission(workers: Int = 4, _ change: (inout GatewayConfiguration) -> Void = { _ in }) -> Admission {
        Admission(configuration(change), workers: workers, metrics: metrics)
    }

    private func configuration(_ change: (inout GatewayConfiguration) -> Void) -> GatewayConfiguration {
        var configuration = GatewayConfiguration(listeners: [], backends: [.init(host: "192.0.2.200")], tls: TestContext.plain)
        change(&configuration)
        return configuration
    }

    private func address(_ last: Int) -> IPAddress { IPAddress(192, 0, 2, UInt8(last)) }

    private func refusal(_ admission: Admission, _ client: IPAddress) -> Admission.Refusal? {
        do throws(Admission.Refusal) {
            _ = try admission.admit(client)
            return nil
        } catch {
            return error
        }
    }

    @Test func clientsThatStayGoRound() throws {
        let admission = self.admission()
        let chosen = try (0..<8).map { try admission.admit(address($0)) }
        #expect(chosen == [0, 1, 2, 3, 0, 1, 2, 3])
    }

    /// Long sessions on one worker and short ones elsewhere are what hashing and going round would not see.
    @Test func theWorkerThatHasTheFewestIsNext() throws {
        let admission = self.admission()
        for client in 0..<28 { _ = try admission.admit(address(client)) }
        // 7, 2, 5 and 3 remain.
        for (worker, gone) in [(1, 5), (2, 2), (3, 4)] { for _ in 0..<gone { admission.left(address(0), worker: worker) } }
        let chosen = try (0..<11).map { try admission.admit(address($0)) }
        #expect(chosen == [1, 1, 3, 1, 3, 1, 2, 3, 1, 2, 3])
        admission.left(address(0), worker: 2)
        #expect(try admission.admit(address(0)) == 2)
    }

    @Test func aWorkerThatHasEndedGetsNone() throws {
        let admission = self.admission(workers: 2)
        admission.ended(worker: 0)
        #expect(try admission.admit(address(1)) == 1)
        // What it still had is over.
        admission.left(address(2), worker: 0)
        #expect(try admission.admit(address(3)) == 1)
        admission.ended(worker: 1)
        #expect(refusal(admission, address(4)) == .noWorker)
    }

    @Test func limitsCountWhoIsHere() throws {
        let admission = self.admission {
            $0.maxSessions = 3
            $0.maxSessionsPerAddress = 2
        }
        let worker = try admission.admit(address(1))
        _ = try admission.admit(address(1))
        #expect(refusal(admission, address(1)) == .tooManyFromAddress)
        _ = try admission.admit(address(2))
        #expect(refusal(admission, address(3)) == .tooManySessions)
        #expect(admission.sessions == 3)
        #expect(metrics.value(of: .sessions) == 3)
        admission.left(address(1), worker: worker)
        #expect(metrics.value(of: .sessions) == 2)
        #expect(refusal(admission, address(1)) == nil)
    }

    @Test func otherRulesKeepTheCount() throws {
        let admission = self.admission()
        _ = try admission.admit(address(1))
        admission.use(
            configuration {
                $0.maxSessionsPerAddress = 1
                $0.denyFrom = [CIDRBlock("192.0.2.9/32")!]
                $0.allowFrom = [CIDRBlock("192.0.2.0/24")!]
            })
        #expect(refusal(admission, address(1)) == .tooManyFromAddress)
        #expect(refusal(admission, address(9)) == .network)
        #expect(refusal(admission, IPAddress("198.51.100.1")!) == .network)
        #expect(refusal(admission, address(2)) == nil)
    }
}
