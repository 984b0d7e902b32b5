import Gateway
import System
import Testing

@testable import ftpsgate

@Suite struct ActivatedListenersTests {
    private func listener(_ text: String, _ mode: GatewayConfiguration.Listener.Mode = .explicit) throws
        -> GatewayConfiguration.Listener
    {
        try #require(GatewayConfiguration.Listener(text, mode: mode))
    }

    @Test func aNameIsTakenAndJunkIsNot() throws {
        #expect(try listener("systemd:ftp").socketName == "ftp")
        #expect(GatewayConfiguration.Listener("systemd:", mode: .explicit) == nil)
        #expect(GatewayConfiguration.Listener("systemd:a:b", mode: .explicit) == nil)
    }

    @Test func everySocketOfTheNameBecomesAListener() throws {
        let listeners = [try listener("systemd:ftp"), try listener("2121"), try listener("systemd:ftps", .implicit)]
        let sockets = [("ftp", 3), ("ftps", 4), ("ftp", 5)].map { ActivatedSocket(name: $0.0, descriptor: Int32($0.1)) }
        let (resolved, problems) = ActivatedListeners.resolve(listeners, sockets)
        #expect(problems.isEmpty)
        #expect(resolved.map(\.inherited) == [3, 5, nil, 4])
        #expect(resolved.map(\.mode) == [.explicit, .explicit, .explicit, .implicit])
    }

    @Test func aNameWithoutASocketIsAProblemThatSaysWhatIsThere() throws {
        let (_, none) = ActivatedListeners.resolve([try listener("systemd:ftp")], [])
        #expect(
            none.map(\.description) == [
                "--listen systemd:ftp: the service manager has handed over no socket; start ftpsgate by a socket unit with FileDescriptorName=ftp."
            ])
        let (_, others) = ActivatedListeners.resolve(
            [try listener("systemd:ftps", .implicit)], [ActivatedSocket(name: "ftp", descriptor: 3)])
        #expect(others.first?.description.contains("handed over only: ftp") == true)
        #expect(others.first?.setting == "--listen-implicit")
    }
}
