import ArgumentParser
import Testing

@testable import ftpsgate

/// The short way through a command line and ArgumentParser's say the same.
@Suite struct PlainCommandLines {
    /// What ArgumentParser makes of it; nil where that is a mistake, help, or another command.
    private func parsed(_ words: [String]) -> (command: PlainCommandLine.Command, given: GivenFlags)? {
        switch try? FTPSGate.parseAsRoot(words) {
        case let serve as ServeCommand: (.serve, GivenFlags(serve.flags))
        case let check as CheckCommand: (.check, GivenFlags(check.flags))
        case let healthcheck as HealthcheckCommand: (.healthcheck, GivenFlags(healthcheck.flags))
        default: nil
        }
    }

    private func plain(_ words: [String]) -> (command: PlainCommandLine.Command, given: GivenFlags)? {
        PlainCommandLine(words[...]).map { ($0.command, $0.given) }
    }

    @Test func everyFlagHasItsNameHereAndThere() throws {
        let flags = try Flags.parse([])
        let groups: [any ParsableArguments] = [
            flags.listening, flags.backend, flags.tls, flags.data, flags.access, flags.limits, flags.operation,
        ]
        var (lists, values, switches) = (Set<String>(), Set<String>(), Set<String>())
        for child in groups.flatMap({ Mirror(reflecting: $0).children }) {
            let label = try #require(child.label)
            let name = label.drop { $0 == "_" }.map { $0.isUppercase ? "-\($0.lowercased())" : "\($0)" }.joined()
            switch child.value {
            case is Option<[String]>: lists.insert(name)
            case is Option<String?>: values.insert(name)
            case is Flag<Bool?>: switches.insert(name)
            default: Issue.record("\(label) is of a kind that nobody knows")
            }
        }
        #expect(lists == FlagNames.lists)
        #expect(values == FlagNames.values)
        #expect(switches == FlagNames.switches)
    }

    @Test(arguments: [
        [], ["serve"], ["check"], ["healthcheck"], ["--backend", "192.0.2.9"], ["serve", "--backend=192.0.2.9"],
        ["check", "--backend", "a", "--backend=b", "--cert", "c.crt", "--key=k=1.key"],
        ["--listen", "21", "--listen-implicit=[::]:990", "--no-autodetect", "--watch", "--greeting", "Hello, you"],
        ["healthcheck", "--admin", "unix:/run/a b", "--admin", "9100"], ["--passive-port-offset=-5"],
    ])
    func whatIsPlainMeansTheSame(_ words: [String]) throws {
        let (command, given) = try #require(plain(words))
        let other = try #require(parsed(words))
        #expect(command == other.command)
        #expect(given == other.given)
    }

    @Test(arguments: [
        ["--help"], ["-h"], ["--version"], ["help", "serve"], ["cert", "create"], ["serve", "check"], ["--nonsense", "1"],
        ["--backend"], ["--backend", "--listen", "21"], ["--backend", "-1"], ["--watch", "--watch"], ["--watch=yes"],
        ["--watch", "--no-watch"], ["--no-backend"], ["--", "x"], ["x"], ["-backend", "x"], ["--backend="], ["--back", "x"],
        ["--generate-completion-script", "bash"], ["--experimental-dump-help"], [""], ["--", "--backend", "x"], ["---", "x"],
        ["--=x"], ["--passive-port-offset", "-5"],
    ])
    func whatIsNotIsLeftAlone(_ words: [String]) { #expect(plain(words) == nil) }

    @Test func nothingElseMeansAnythingElse() throws {
        let pieces = [
            "serve", "check", "healthcheck", "--backend", "--backend=b", "--config", "--config=", "--watch", "--no-watch",
            "--no-config", "--watch=1", "a", "-a", "--", "-", "", "--cert", "--cert=c", "--help", "=", "--user=u=v",
        ]
        var generator = SplitMix(state: 7)
        var plainOnes = 0
        for _ in 0..<200 {
            let words = (0..<Int.random(in: 0...5, using: &generator)).map { _ in pieces.randomElement(using: &generator)! }
            guard let (command, given) = plain(words) else { continue }
            plainOnes += 1
            let other = try #require(parsed(words), "\(words)")
            #expect(command == other.command, "\(words)")
            #expect(given == other.given, "\(words)")
        }
        #expect(plainOnes > 20)
    }
}

/// The same numbers in every run.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
