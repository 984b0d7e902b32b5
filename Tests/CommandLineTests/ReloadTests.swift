import ArgumentParser
import Gateway
import PKI
import TLS
import Telemetry
import TestSupport
import Testing

@testable import TLS
@testable import ftpsgate

/// What a reload takes over of certificates, and what it reads again.
@Suite struct ReloadTests {
    private let folder = TemporaryFolder()

    /// An authority, and three identities that it has signed.
    init() throws {
        let key = try PrivateKey.make(.p256)
        try key.write(to: folder.file("ca.key"))
        let profile = try CertificateProfile(commonName: "ca", role: .authority(pathLength: nil))
        try Certificate.selfSigned(key: key, profile: profile, days: 1).write(to: folder.file("ca.crt"))
        for name in Self.names { try issue(name) }
    }

    private static let names = ["a", "b", "c"]

    private func issue(_ name: String) throws {
        let authority = try CertificateAuthority(certificateFile: folder.file("ca.crt"), keyFile: folder.file("ca.key"))
        let key = try PrivateKey.make(.p256)
        let profile = try CertificateProfile(commonName: name, dnsNames: ["\(name).example.com"])
        let request = try CertificateRequest.make(key: key, profile: profile)
        let chain = [try authority.sign(request, role: profile.role, days: 1), authority.certificate]
        try key.write(to: folder.file("\(name).key"))
        try request.write(to: folder.file("\(name).csr"))
        try Certificate.write(chain, to: folder.file("\(name).crt"))
    }

    private func run(_ line: String) throws {
        let result = Shell.run("cd \(folder.path) && { \(line); } 2>&1 </dev/null")
        try #require(result.status == 0, "\(line): \(result.output)")
    }

    /// Has the authority say that a certificate is good, for so many days.
    private func staple(_ name: String, days: Int = 7) throws {
        try run(
            """
            serial=$(openssl x509 -in \(name).crt -noout -serial) &&
            printf 'V\\t351231235959Z\\t\\t%s\\tunknown\\t/CN=x\\n' ${serial#serial=} > index &&
            openssl ocsp -index index -CA ca.crt -rsigner ca.crt -rkey ca.key -issuer ca.crt -cert \(name).crt \
              -ndays \(days) -respout \(name).crt.ocsp -noverify
            """)
    }

    private func given(_ names: [String] = names, _ more: [String] = []) throws -> GivenFlags {
        let identities = names.flatMap { ["--cert", folder.file("\($0).crt"), "--key", folder.file("\($0).key")] }
        return GivenFlags(try Flags.parse(["--backend", "192.0.2.9"] + identities + more))
    }

    private func load(
        _ flags: GivenFlags? = nil, replacing running: LoadedConfiguration? = nil
    ) throws -> LoadedConfiguration {
        let now = (running?.digests ?? [:]).map { ($0.key, FileDigest($0.key)) }
        return try LoadedConfiguration(
            flags ?? given(), environment: [:], makesFiles: false, replacing: running, Dictionary(uniqueKeysWithValues: now))
    }

    /// The names of those that were read, and not taken over.
    private func read(_ new: LoadedConfiguration, after old: LoadedConfiguration) -> [String] {
        new.identities.identities
            .filter { identity in !old.identities.identities.contains { $0.key === identity.key } }
            .map { String($0.certificateFile.split(separator: "/").last!.dropLast(".crt".count)) }
    }

    @Test(
        arguments: [
            (":", []),
            ("touch -d tomorrow b.crt b.key", []),
            // Renewed with the same key.
            (
                "openssl x509 -req -in b.csr -CA ca.crt -CAkey ca.key -set_serial 1 -days 9 -out new && cat new ca.crt > b.crt",
                ["b"]
            ),
            ("openssl ec -in b.key -out new && cat new > b.key", ["b"]),
            ("cp a.crt c.crt; cp a.key c.key", ["c"]),
            // Nothing but the contents tells.
            ("echo x >> b.crt; touch -r b.crt stamp", ["b"]),
            ("cat b.key >> b.crt; cp b.crt b.key", ["b"]),
        ] as [(String, [String])])
    func onlyWhatChangedIsReadAgain(change: String, expected: [String]) throws {
        let before = try load()
        try run(change)
        let after = try load(replacing: before)
        #expect(read(after, after: before) == expected)
        for identity in after.identities.identities {
            #expect(try identity.chain == Certificate.readAll(file: identity.certificateFile))
        }
        #expect(after.digests.count == 3 * Self.names.count)
        #expect(after.digests.allSatisfy { FileDigest($0.key) == $0.value })
        #expect(read(try load(replacing: after), after: after) == [])
    }

    @Test func sizeAndTimesMayStayWhatTheyWere() throws {
        try run("echo 1 >> b.crt")
        let before = try load()
        try run("touch -r b.crt stamp; sed -i '$s/1/2/' b.crt; touch -r stamp b.crt")
        #expect(read(try load(replacing: before), after: before) == ["b"])
    }

    @Test func otherCertificatesComeAndGo() throws {
        let before = try load(given(["a", "b"]))
        let after = try load(given(["c", "a"]), replacing: before)
        #expect(read(after, after: before) == ["c"])
        #expect(after.identities.identities.map(\.certificateFile) == ["c.crt", "a.crt"].map(folder.file))
    }

    @Test func aStapleMayComeChangeAndGo() throws {
        var running = try load()
        func reload() throws -> [String] {
            let new = try load(replacing: running)
            defer { running = new }
            return read(new, after: running)
        }
        try staple("b")
        #expect(try reload() == ["b"])
        #expect(running.identities.identities.map(\.isStapled) == [false, true, false])
        #expect(try reload() == [])
        try staple("b", days: 8)
        #expect(try reload() == ["b"])
        try run("rm b.crt.ocsp")
        #expect(try reload() == ["b"])
        #expect(running.identities.identities.map(\.isStapled) == [false, false, false])
    }

    @Test(arguments: [
        ("cp a.key b.key", "does not belong to the certificate"),
        ("cp a.crt b.crt", "does not belong to the certificate"),
        ("rm b.crt", "b.crt: No such file"),
        ("rm b.key", "b.key: No such file"),
        ("head -c 100 b.key > cut; cp cut b.key", "holds no private key"),
        ("echo no > b.crt", "holds no certificate"),
        ("echo no > b.crt.ocsp", "it is no OCSP response"),
    ])
    func whatIsBrokenIsRefused(change: String, reason: String) throws {
        let before = try load()
        try run(change)
        #expect {
            try load(replacing: before)
        } throws: { error in
            guard let problems = (error as? ConfigurationProblems)?.problems, problems.count == 1 else { return false }
            return problems[0].description.contains(reason)
        }
    }

    @Test func anEncryptedKeyIsReadEachTime() throws {
        try run("echo secret > word && openssl pkcs8 -topk8 -in b.key -passout file:word -out new && cp new b.key")
        let flags = try given(Self.names, ["--key-passphrase-file", folder.file("word")])
        let before = try load(flags)
        #expect(read(try load(flags, replacing: before), after: before) == ["b"])
        try run("echo lost > word")
        #expect {
            try load(flags, replacing: before)
        } throws: {
            ($0 as? ConfigurationProblems)?.problems.map(\.description).joined().contains("does not open") == true
        }
    }

    @Test func aCertificateInMemoryStays() throws {
        let before = try load(given([]))
        #expect(read(try load(given([]), replacing: before), after: before) == [])
        let after = try load(replacing: before)
        #expect(read(after, after: before) == Self.names)
    }

    @Test func whatChangesDuringTheStartIsSeenAfterwards() throws {
        let source = ConfigurationSource(try given(), environment: ["HOME": folder.path])
        let first = try source.first()
        try issue("b")
        let reload = source.reloading(first, EventLog(level: .error, format: .text))
        guard case .loaded(let gateway, let folders) = reload.load(false) else {
            Issue.record("the change is not seen")
            return
        }
        #expect(gateway.tls !== first.gateway.tls)
        #expect(folders == [folder.path])
        guard case .unchanged = reload.load(false) else {
            Issue.record("nothing has changed")
            return
        }
    }

    @Test func whatOnlyRootMayReadIsNoNewsAtTheStart() {
        let (file, other) = (FileDigest.contents(sha256: [1]), FileDigest.contents(sha256: [2]))
        let forbidden = FileDigest.unreadable(errno: 13)
        var state = ConfigurationSource.State(seen: ["a": file, "b": file])
        let looks = (0..<3).map { _ in state.takes(["a": file, "b": forbidden]) }
        #expect(looks == [false, true, false])
        state = ConfigurationSource.State(seen: ["a": file, "b": file])
        let isNews = state.takes(["a": other, "b": forbidden])
        #expect(isNews)
    }

    @Test func aBrokenFileIsToldOfOnceAndTakenUpWhenItIsMended() throws {
        let source = ConfigurationSource(try given(), environment: ["HOME": folder.path])
        let reload = source.reloading(try source.first(), EventLog(level: .error, format: .text))
        try run("mv b.key whole && echo no > b.key")
        func outcomes() -> [String] {
            (0..<2).map { _ in
                switch reload.load(false) {
                case .unchanged: "unchanged"
                case .loaded: "loaded"
                case .refused: "refused"
                }
            }
        }
        #expect(outcomes() == ["refused", "unchanged"])
        try run("mv whole b.key")
        #expect(outcomes() == ["loaded", "unchanged"])
    }
}
