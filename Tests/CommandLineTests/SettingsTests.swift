import ArgumentParser
import FTPProtocol
import FTPSession
import Gateway
import System
import TLS
import Testing
import Wire

@testable import ftpsgate

/// Judges a command line as `serve` does, with an environment and a file of the test's.
private func judge(
    _ arguments: [String], environment: [String: String] = [:], file: String? = nil
) throws -> (choices: Choices, problems: [ConfigurationProblem], settings: Settings) {
    let given = GivenFlags(try Flags.parse(arguments))
    let settings = Settings(given: given, environment: environment) { _ in
        file.map { .success($0) } ?? .failure(SystemFailure(code: 2))
    }
    var reader = SettingsReader(settings)
    let choices = Choices(&reader)
    return (choices, reader.problems, settings)
}

private let backend = ["--backend", "192.0.2.9"]

@Suite struct WhatFlagsMean {
    @Test func theBackendAloneIsEnough() throws {
        let (choices, problems, _) = try judge(backend)
        #expect(problems.isEmpty)
        #expect(choices.listeners == [.init(mode: .explicit, host: nil, port: 21)])
        #expect(choices.backends == [.init(host: "192.0.2.9", port: 21)])
        #expect(choices.passivePorts == .range(PortRange(lower: 50000, upper: 50999)!))
        #expect(choices.session == SessionPolicy())
        #expect(choices.workers == Processors.available)
    }

    @Test func clientsMayBeToldOtherPorts() throws {
        let (choices, problems, _) = try judge(
            backend + [
                "--passive-ports", "30000-30009", "--passive-port-offset", "10000", "--passive-port-map", "30009=61000",
            ])
        #expect(problems.isEmpty)
        #expect(choices.passivePortOffset == 10_000)
        #expect(choices.passivePortMap.seen(30_009) == 61_000)
        #expect(choices.passivePortMap.seen(30_000) == nil)
    }

    @Test func dataSessionsGoByNetwork() throws {
        let (choices, problems, _) = try judge(backend + ["--data-session", "require,10.0.0.0/8=off,192.0.2.7=prefer"])
        #expect(problems.isEmpty)
        #expect(choices.dataSession == .require)
        #expect(
            choices.dataSessionExceptions
                == [.init(.network(CIDRBlock("10.0.0.0/8")!), .off), .init(.network(CIDRBlock("192.0.2.7")!), .prefer)])
    }

    @Test func tlsIsRequiredByListenerOrNetwork() throws {
        let (choices, problems, _) = try judge(
            backend + [
                "--listen", "2121", "--listen", "2122", "--control-tls", "required,2122=optional",
                "--data-tls", "optional,2121=required,10.0.0.0/8=required",
            ])
        #expect(problems.isEmpty)
        #expect(choices.session.controlTLS == .required)
        #expect(choices.controlTLSExceptions == [.init(.listener(port: 2122), .optional)])
        #expect(choices.session.dataTLS == .optional)
        #expect(
            choices.dataTLSExceptions
                == [.init(.listener(port: 2121), .required), .init(.network(CIDRBlock("10.0.0.0/8")!), .required)])
    }

    @Test func anImplicitListenerAloneLeavesPort21Alone() throws {
        let (choices, problems, _) = try judge(backend + ["--listen-implicit", "[::1]:990"])
        #expect(problems.isEmpty)
        #expect(choices.listeners == [.init(mode: .implicit, host: IPAddress("::1"), port: 990)])
    }

    @Test(
        arguments: [
            ("21", nil, 21), (":2121", nil, 2121), ("*:0", nil, 0), ("192.0.2.1:21", "192.0.2.1", 21),
            ("[2001:db8::1]:2121", "2001:db8::1", 2121), ("localhost:21", "127.0.0.1", 21),
        ] as [(String, String?, UInt16)])
    func listenersAreAddressesWithPorts(text: String, host: String?, port: UInt16) {
        #expect(
            GatewayConfiguration.Listener(text, mode: .explicit)
                == .init(mode: .explicit, host: host.flatMap { IPAddress($0) }, port: port))
    }

    @Test(arguments: [
        "", "x", "65536", "-1", "192.0.2.1", "192.0.2.1:", "ftp.example.com:21", "::1:21", "[::1]", "[192.0.2.1]:21", "+21",
    ])
    func otherTextsAreNoListeners(text: String) {
        #expect(GatewayConfiguration.Listener(text, mode: .explicit) == nil)
    }

    @Test(
        arguments: [
            ("ftp.internal", "ftp.internal", 21), ("ftp.internal:2121", "ftp.internal", 2121), ("192.0.2.1", "192.0.2.1", 21),
            ("2001:db8::1", "2001:db8::1", 21), ("[2001:db8::1]", "2001:db8::1", 21), ("[2001:db8::1]:2121", "2001:db8::1", 2121),
        ] as [(String, String, UInt16)])
    func backendsAreHostsWithPorts(text: String, host: String, port: UInt16) {
        #expect(GatewayConfiguration.Backend(text) == .init(host: host, port: port))
    }

    @Test(arguments: ["", ":21", "a:0", "a:b", "a b", "ftp://a", "a,b=c"])
    func otherTextsAreNoBackends(text: String) { #expect(GatewayConfiguration.Backend(text) == nil) }

    @Test(arguments: [
        ("0", Duration.zero), ("500ms", .milliseconds(500)), ("30s", .seconds(30)), ("5m", .seconds(300)),
        ("24h", .seconds(86_400)),
        ("0s", .zero), ("365d", .seconds(365 * 86_400)),
    ])
    func durationsHaveUnits(text: String, duration: Duration) { #expect(DurationText.parse(text) == duration) }

    @Test(arguments: ["", "5", "s", "-1s", "1.5s", "1 s", "366d", "99999999999999999999s", "+1s", "1S"])
    func otherTextsAreNoDurations(text: String) { #expect(DurationText.parse(text) == nil) }

    @Test(arguments: [
        ("0", 0), ("65536", 65_536), ("64KiB", 65_536), ("1MiB", 1_048_576), ("64GiB", 64 << 30), ("1TiB", 1 << 40),
    ])
    func sizesHaveUnits(text: String, size: Int) { #expect(SizeText.parse(text) == size) }

    @Test(arguments: ["", "KiB", "1KB", "1 KiB", "-1", "1.5MiB", "99999999TiB", "9999999999999999999"])
    func otherTextsAreNoSizes(text: String) { #expect(SizeText.parse(text) == nil) }

    @Test func theLegacyProfileOpensOldVersions() throws {
        let (choices, problems, _) = try judge(backend + ["--tls-legacy"])
        #expect(problems.isEmpty)
        #expect(choices.tls.isLegacy && choices.tls.minimumVersion == .tls10)
        let (newer, none, _) = try judge(backend + ["--tls-legacy", "--tls-min", "1.1"])
        #expect(none.isEmpty)
        #expect(newer.tls.minimumVersion == .tls11)
    }

    @Test func passivePortsAreARangeOnePortOrTheKernelsChoice() {
        #expect(GatewayConfiguration.PassivePorts("50000-50010") == .range(PortRange(lower: 50000, upper: 50010)!))
        #expect(GatewayConfiguration.PassivePorts("50000") == .range(PortRange(lower: 50000, upper: 50000)!))
        #expect(GatewayConfiguration.PassivePorts("0:4") == .chosenByKernel(count: 4))
        for text in ["", "0:0", "5-4", "0-5", "70000", "1-2-3", "0:x"] { #expect(GatewayConfiguration.PassivePorts(text) == nil) }
    }

    @Test func thePassiveAddressMayDependOnTheClient() {
        #expect(
            GatewayConfiguration.PassiveAddress("203.0.113.5,10.0.0.0/8=10.0.0.5")
                == .init(
                    source: .fixed(IPAddress(203, 0, 113, 5)),
                    exceptions: [.init(network: CIDRBlock("10.0.0.0/8")!, address: IPAddress(10, 0, 0, 5))]))
        #expect(GatewayConfiguration.PassiveAddress("auto") == .init())
        #expect(GatewayConfiguration.PassiveAddress("interface:eth0") == .init(source: .interface("eth0")))
        #expect(GatewayConfiguration.PassiveAddress("ftp.example.com") == .init(source: .name("ftp.example.com")))
        for text in ["", "::1", "1.2.3", "interface:", "auto,auto", "auto,10.0.0.0/8=x", "a b"] {
            #expect(GatewayConfiguration.PassiveAddress(text) == nil, "\(text)")
        }
    }

    @Test func lenientUploadsMayBeForSomeNetworks() {
        #expect(SessionPolicy.UploadEOF("strict") == .strict)
        #expect(SessionPolicy.UploadEOF("lenient") == .lenient([]))
        #expect(
            SessionPolicy.UploadEOF("lenient:10.0.0.0/8,2001:db8::/32")
                == .lenient([CIDRBlock("10.0.0.0/8")!, CIDRBlock("2001:db8::/32")!]))
        for text in ["", "lax", "lenient:", "lenient:x"] { #expect(SessionPolicy.UploadEOF(text) == nil) }
    }

    @Test func listsTakeCommasAndRepetition() throws {
        let (choices, problems, _) = try judge(
            backend + [
                "--allow-from", "10.0.0.0/8,192.168.0.0/16", "--allow-from", "::1", "--deny-command", "DELE,site=CHMOD*",
                "--deny-user", "root",
            ])
        #expect(problems.isEmpty)
        #expect(choices.allowFrom.map(\.description) == ["10.0.0.0/8", "192.168.0.0/16", "::1/128"])
        #expect(choices.session.deniedCommands == [.init(verb: .dele), .init(verb: .site, argument: "CHMOD*")])
        #expect(choices.session.deniedUsers == ["root"])
    }

    @Test func limitsAndLevelsOfProtectionReachTheSession() throws {
        let (choices, problems, _) = try judge(
            backend + [
                "--max-command-line", "4KiB", "--max-user-length", "100", "--max-password-length", "200", "--max-path-length",
                "300",
                "--max-reply-line", "1KiB", "--max-reply-bytes", "64KiB", "--max-reply-lines", "1000", "--auth-ssl-prot", "C",
                "--prot-default-explicit", "P", "--implicit-default-prot", "C", "--pbsz-optional",
            ])
        #expect(problems.isEmpty)
        var limits = SessionPolicy.Limits()
        (limits.commandLine, limits.user, limits.password, limits.path) = (4096, 100, 200, 300)
        (limits.reply.lineBytes, limits.reply.replyBytes, limits.reply.lines) = (1024, 65_536, 1000)
        #expect(choices.session.limits == limits)
        #expect(choices.session.authSSLProt == .clear && choices.session.protDefaultExplicit == .private)
        #expect(choices.session.implicitDefaultProt == .clear && choices.session.pbszOptional)
        let (usual, none, _) = try judge(backend)
        #expect(none.isEmpty)
        #expect(usual.session.limits.commandLine == 8192 && usual.session.limits.commandLineBeforeTLS == 512)
    }

    @Test func switchesCanBeTurnedOffAgain() throws {
        let on = try judge(backend, environment: ["FTPSGATE_AUTODETECT": "yes"])
        #expect(on.choices.autodetect)
        let off = try judge(backend + ["--no-autodetect"], environment: ["FTPSGATE_AUTODETECT": "yes"])
        #expect(!off.choices.autodetect)
    }
}

@Suite struct WhereSettingsComeFrom {
    @Test func theCommandLineWinsOverTheEnvironmentAndThatOverTheFile() throws {
        let file = """
            # a comment
            backend 192.0.2.1
            idle-timeout 1m

            login-timeout   1m
            data-timeout = 1m
            autodetect
            """
        let environment = ["FTPSGATE_IDLE_TIMEOUT": "2m", "FTPSGATE_LOGIN_TIMEOUT": "2m", "FTPSGATE_CONFIG": "file"]
        let (choices, problems, _) = try judge(["--idle-timeout", "3m"], environment: environment, file: file)
        // "=" between name and value is no part of the syntax.
        #expect(problems.map(\.setting) == ["file line 6, data-timeout"])
        #expect(choices.timeouts.idle == .seconds(180))
        #expect(choices.timeouts.login == .seconds(120))
        #expect(choices.backends == [.init(host: "192.0.2.1", port: 21)])
        #expect(choices.autodetect)
    }

    @Test func aHigherSourceReplacesTheWholeList() throws {
        let (choices, problems, _) = try judge(
            backend + ["--listen", "2121"], environment: ["FTPSGATE_LISTEN": "21 22", "FTPSGATE_LISTEN_IMPLICIT": "990 991"])
        #expect(problems.isEmpty)
        #expect(choices.listeners.map(\.port) == [2121, 990, 991])
    }

    @Test func linesOfTheFileAddUp() throws {
        let (choices, problems, _) = try judge(["--config", "file"], file: "backend a\nbackend b\nlisten 2121\nlisten 2122\n")
        #expect(problems.isEmpty)
        #expect(choices.backends.map(\.host) == ["a", "b"])
        #expect(choices.listeners.map(\.port) == [2121, 2122])
    }

    @Test func aMistypedNameInTheFileIsAMistake() throws {
        let (_, problems, _) = try judge(backend + ["--config", "file"], file: "idle-timeot 5m\n")
        #expect(
            problems.map(\.description) == [
                "file line 1, idle-timeot 5m: there is no such setting; perhaps you mean idle-timeout."
            ])
    }

    @Test func aFileThatCannotBeReadIsAMistake() throws {
        let (_, problems, _) = try judge(backend + ["--config", "/nowhere"])
        #expect(problems.map(\.setting) == ["--config"])
    }

    @Test func variablesOfOrchestratorsAreNoSettings() throws {
        let environment = [
            "FTPSGATE_PORT": "tcp://10.0.0.1:21", "FTPSGATE_SERVICE_HOST": "10.0.0.1", "FTPSGATE_PORT_21_TCP": "x",
            "FTPSGATE_LISTNE": "21",
            "FTPSGATE_GREETING": "",
        ]
        let (_, problems, settings) = try judge(backend, environment: environment)
        #expect(problems.isEmpty)
        #expect(settings.ignored == ["FTPSGATE_LISTNE"])
    }
}

@Suite struct WhatIsWrong {
    @Test func everyMistakeIsToldAtOnce() throws {
        let (_, problems, _) = try judge([
            "--listen", "99999", "--backend-data", "sideways", "--idle-timeout", "5", "--workers", "0", "--max-sessions", "many",
            "--cert", "a.crt", "--passive-ports", "9-1", "--log-level", "loud",
        ])
        #expect(
            problems.map(\.setting) == [
                "--listen", "--backend", "--backend-data", "--cert", "--passive-ports", "--max-sessions", "--idle-timeout",
                "--workers",
                "--log-level",
            ])
    }

    @Test(arguments: [
        (["--listen", "http://x"], "--listen http://x"), (["--backend-source", "eth0"], "--backend-source eth0"),
        (["--key", "k"], "--key k"), (["--client-cert", "maybe", "--client-ca", "x"], "--client-cert maybe"),
        (["--control-tls", "never"], "--control-tls never"), (["--data-tls", "no"], "--data-tls no"),
        (["--data-session", "always"], "--data-session always"),
        (["--data-session", "require,10.0.0.0/8"], "--data-session require,10.0.0.0/8"),
        (["--control-tls", "optional,99999=required"], "--control-tls optional,99999=required"),
        (["--data-tls", "required,2199=optional"], "--data-tls required,2199=optional: no listener has port 2199"),
        (["--passive-port-map", "50000=0"], "--passive-port-map 50000=0"),
        (["--passive-port-map", "40000=50000"], "--passive-port-map 40000=50000"),
        (["--passive-port-offset", "-50000"], "--passive-port-offset -50000"),
        (["--passive-port-offset", "20000"], "--passive-port-offset 20000"),
        (["--passive-ports", "0:5", "--passive-port-offset", "1"], "--passive-port-offset 1"),
        (["--verify-before-store", "on"], "--verify-before-store on"),
        (["--upload-eof", "lax"], "--upload-eof lax"), (["--backend-pasv-address", "x"], "--backend-pasv-address x"),
        (["--allow-from", "10.0.0.0/33"], "--allow-from 10.0.0.0/33"), (["--deny-from", "x"], "--deny-from x"),
        (["--access", "write-only"], "--access write-only"), (["--deny-command", "=x"], "--deny-command =x"),
        (["--greeting", "two\nlines"], "--greeting two\nlines"), (["--active-source-port", "0"], "--active-source-port 0"),
        (["--max-login-attempts", "-1"], "--max-login-attempts -1"), (["--connect-timeout", "0"], "--connect-timeout 0"),
        (["--drain-timeout", "1 minute"], "--drain-timeout 1 minute"), (["--log-format", "xml"], "--log-format xml"),
        (["--passive-address", "::1"], "--passive-address ::1"), (["--handshake-timeout", "ten"], "--handshake-timeout ten"),
        (["--login-timeout", "-5s"], "--login-timeout -5s"), (["--data-timeout", "1w"], "--data-timeout 1w"),
        (["--reply-timeout", "1y"], "--reply-timeout 1y"),
        (["--max-sessions-per-address", "1.5"], "--max-sessions-per-address 1.5"),
        (["--listen", "2121", "--listen-implicit", "2121"], "--listen 2121"),
        (["--listen", "50000"], "--listen 50000"), (["--tls-min", "1.1"], "--tls-min 1.1"),
        (["--tls-max", "1.0"], "--tls-max 1.0"),
        (["--tls-min", "1.3", "--tls-max", "1.2"], "--tls-min 1.3"),
        (["--max-command-line", "127"], "--max-command-line 127"), (["--max-user-length", "0"], "--max-user-length 0"),
        (["--max-password-length", "1MiB"], "--max-password-length 1MiB"), (["--max-path-length", "-1"], "--max-path-length -1"),
        (["--max-reply-line", "1"], "--max-reply-line 1"), (["--max-reply-bytes", "1KiB"], "--max-reply-bytes 1KiB"),
        (["--max-reply-line", "2MiB"], "--max-reply-line 2MiB"), (["--max-reply-lines", "0"], "--max-reply-lines 0"),
        (["--prot-default-explicit", "S"], "--prot-default-explicit S"), (["--auth-ssl-prot", "p"], "--auth-ssl-prot p"),
        (["--implicit-default-prot", "X"], "--implicit-default-prot X"),
        (["--rekey-bytes", "lots"], "--rekey-bytes lots"), (["--ktls", "yes"], "--ktls yes"),
        (["--ticket-rotation", "1s"], "--ticket-rotation 1s"),
        (["--ticket-keys", "a", "--ticket-secret-file", "b"], "--ticket-secret-file b"),
        (["--admin", "everywhere"], "--admin everywhere"),
        (["--reload-interval", "often"], "--reload-interval often"),
    ])
    func aMistakeNamesItsFlagItsValueAndTheRemedy(arguments: [String], beginning: String) throws {
        // ArgumentParser takes "-5s" for a flag: a value like that is joined to its own.
        let joined = stride(from: 0, to: arguments.count, by: 2).map { "\(arguments[$0])=\(arguments[$0 + 1])" }
        let (_, problems, _) = try judge(backend + joined)
        try #require(problems.count == 1, "\(problems)")
        let text = problems[0].description
        #expect(text.hasPrefix(beginning), "\(text)")
        #expect(text.contains("; ") && text.hasSuffix("."), "\(text)")
    }

    @Test func aMistakeInTheEnvironmentIsNamedByItsVariable() throws {
        let (_, problems, _) = try judge(backend, environment: ["FTPSGATE_IDLE_TIMEOUT": "soon"])
        #expect(problems.map(\.setting) == ["FTPSGATE_IDLE_TIMEOUT"])
    }

    @Test func certificatesThatCannotBeReadAreTold() throws {
        let flags = try Flags.parse(
            backend + [
                "--cert", "/nowhere/a.crt", "--key", "/nowhere/a.key", "--cert", "/nowhere/b.crt", "--key", "/nowhere/b.key",
            ])
        let error = #expect(throws: ConfigurationProblems.self) {
            try LoadedConfiguration(GivenFlags(flags), environment: [:], makesFiles: false)
        }
        #expect(error?.problems.map(\.setting) == ["--cert", "--cert"])
        #expect(error?.problems.map(\.description).allSatisfy { $0.contains("No such file") } == true)
    }
}

@Suite struct TheReadyLine {
    @Test func portsInARowAreOneRange() {
        #expect(GatewayServer.Ready.ranges([50000, 50001, 50002, 50004]) == "50000-50002,50004")
        #expect(GatewayServer.Ready.ranges([50000]) == "50000")
        #expect(GatewayServer.Ready.ranges([]) == "")
        #expect(GatewayServer.Ready.ranges([65534, 65535]) == "65534-65535")
    }
}
