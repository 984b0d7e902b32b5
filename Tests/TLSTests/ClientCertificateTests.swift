import COpenSSL
import Glibc
import PKI
import TestSupport
import Testing

@testable import TLS

/// An authority with clients of every kind, good and bad, made once.
final class Clients: Sendable {
    let folder = TemporaryFolder()
    static let shared = Clients()

    private init() {
        do {
            try authority("ca")
            try authority("other")
            try authority("middle", by: "ca")
            try authority("lower", by: "middle")
            try client("good", by: "ca")
            try client("second", by: "ca")
            try client("expired", by: "ca", days: -1)
            try client("purpose", by: "ca", role: .member([.server]))
            try client("unknown", by: "other")
            try client("revoked", by: "ca")
            try client("deep", by: "middle")
            try client("deeper", by: "lower")
            let key = try PrivateKey.make(.p256)
            try key.write(to: path("selfsigned.key"))
            try Certificate.selfSigned(
                key: key, profile: CertificateProfile(commonName: "selfsigned", role: .member([.client])), days: 1
            ).write(to: path("selfsigned.crt"))
            let list = try load("ca").revocationList(
                [
                    Revocation(
                        serial: Certificate.readAll(file: path("revoked.crt"))[0].details.serial, date: 0, reason: .unspecified)
                ],
                days: 1, number: 1)
            try list.write(to: path("ca.crl"))
            try load("ca").revocationList([], days: -1, number: 1).write(to: path("old.crl"))
            // Not yet valid: OpenSSL's command sets any date.
            let made = Shell.run(
                "cd \(folder.path) && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout future.key -subj /CN=future -out f.csr 2>&1 && touch index && echo 01 > serial && printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index\\nserial=serial\\nnew_certs_dir=.\\ndefault_md=sha256\\npolicy=p\\n[p]\\ncommonName=supplied\\n' > c && openssl ca -batch -config c -cert ca.crt -keyfile ca.key -in f.csr -out future.crt -startdate 20400101000000Z -enddate 20410101000000Z -notext 2>&1"
            )
            precondition(made.status == 0, made.output)
        } catch { fatalError("\(error)") }
    }

    func path(_ name: String) -> String { folder.file(name) }
    func load(_ name: String) throws -> CertificateAuthority {
        try CertificateAuthority(certificateFile: path("\(name).crt"), keyFile: path("\(name).key"))
    }

    private func authority(_ name: String, by above: String? = nil) throws {
        let key = try PrivateKey.make(.p256)
        try key.write(to: path("\(name).key"))
        let profile = try CertificateProfile(commonName: name, role: .authority(pathLength: nil))
        guard let above else {
            return try Certificate.selfSigned(key: key, profile: profile, days: 2).write(to: path("\(name).crt"))
        }
        let signer = try load(above)
        let signed = try signer.sign(CertificateRequest.make(key: key, profile: profile), role: profile.role, days: 2)
        try Certificate.write([signed] + signer.chainForHolders, to: path("\(name).crt"))
    }

    private func client(
        _ name: String, by authority: String, days: Int = 1, role: CertificateProfile.Role = .member([.client])
    ) throws {
        let key = try PrivateKey.make(.p256)
        try key.write(to: path("\(name).key"))
        let request = try CertificateRequest.make(key: key, profile: CertificateProfile(commonName: name, role: role))
        let signer = try load(authority)
        try Certificate.write([signer.sign(request, role: role, days: days)] + signer.chainForHolders, to: path("\(name).crt"))
    }

    func settings(_ version: TLSVersion, _ name: String?, tickets: Bool = true) -> TestClientSettings {
        let settings = TestClientSettings(version, tickets: tickets)
        if let name { settings.use(certificateFile: path("\(name).crt"), keyFile: path("\(name).key")) }
        return settings
    }

    /// Rules with `ca` as the authority.
    func rules(
        _ demand: TLSPolicy.ClientCertificates.Demand, authorities: String = "ca.crt", depth: Int? = nil, crl: String? = nil,
        _ check: RevocationCheck = .soft
    ) -> TLSPolicy.ClientCertificates {
        var rules = TLSPolicy.ClientCertificates(demand, authorities: path(authorities))
        if let depth { rules.depth = depth }
        if let crl { (rules.revocationLists, rules.revocationCheck) = (path(crl), check) }
        return rules
    }
}

@Suite struct ClientCertificateTests {
    let clients = Clients.shared

    func context(
        _ rules: TLSPolicy.ClientCertificates, store: SessionStore = SessionStore(),
        _ change: (inout TLSPolicy) -> Void = { _ in }
    ) throws -> TLSContext {
        var policy = TLSPolicy()
        policy.clientCertificates = rules
        change(&policy)
        return try TLSContext(policy: policy, identities: [Identities().make("ftps.example.com")], store: store)
    }

    // MARK: - Full handshakes

    @Test(arguments: TLSVersion.allCases, ["good", "deep"])
    func aGoodCertificateIsTakenAndKnown(version: TLSVersion, name: String) throws {
        for demand in [TLSPolicy.ClientCertificates.Demand.request, .require] {
            let talk = Conversation(try context(clients.rules(demand, crl: "ca.crl")), clients.settings(version, name))
            #expect(talk.handshake() == .done)
            #expect(talk.server.facts?.clientCertificate?.subject == "CN=\(name)")
        }
    }

    struct Bad: CustomTestStringConvertible, Sendable {
        let name: String?
        let reason: CertificateRejection.Reason
        /// What the client is told, by the version of TLS.
        let alert12: String
        var alert13: String?
        var depth: Int?
        var testDescription: String { name ?? "none" }
    }

    static let bad = [
        Bad(name: "expired", reason: .expired, alert12: "certificate expired"),
        Bad(name: "future", reason: .notYetValid, alert12: "bad certificate"),
        Bad(name: "purpose", reason: .wrongPurpose, alert12: "unsupported certificate"),
        Bad(name: "unknown", reason: .unknownAuthority, alert12: "unknown CA"),
        Bad(name: "revoked", reason: .revoked, alert12: "certificate revoked"),
        Bad(name: "selfsigned", reason: .selfSigned, alert12: "unknown CA"),
        Bad(name: "deeper", reason: .chainTooLong, alert12: "unknown CA", depth: 1),
        Bad(name: nil, reason: .noneSent, alert12: "handshake failure", alert13: "certificate required"),
    ]

    @Test(arguments: bad, TLSVersion.allCases)
    func aBadCertificateIsRefusedWithItsReasonAndItsAlert(bad: Bad, version: TLSVersion) throws {
        let context = try context(clients.rules(.require, depth: bad.depth, crl: "ca.crl"))
        let talk = Conversation(context, clients.settings(version, bad.name))
        guard case .failed(.certificateRejected(let rejection, let subject)) = talk.handshake() else {
            Issue.record("\(bad.testDescription) was not refused")
            return
        }
        #expect(rejection.reason == bad.reason)
        #expect(subject == bad.name.map { "CN=\($0)" })
        #expect(talk.clientAlert == (version == .tls13 ? bad.alert13 ?? bad.alert12 : bad.alert12))
        #expect(talk.server.sendCloseNotify() == .done)
        #expect(talk.pipe.toClient.isEmpty)
    }

    @Test(arguments: TLSVersion.allCases)
    func requestTakesNoneButNoBadOne(version: TLSVersion) throws {
        let context = try context(clients.rules(.request))
        let none = Conversation(context, clients.settings(version, nil))
        #expect(none.handshake() == .done)
        #expect(none.server.facts?.clientCertificate == nil)
        #expect(Conversation(context, clients.settings(version, "expired")).handshake() != .done)
    }

    @Test(arguments: TLSVersion.allCases)
    func nobodyIsAskedWhereItIsOff(version: TLSVersion) throws {
        let talk = Conversation(try makeContext(), clients.settings(version, "good"))
        #expect(talk.handshake() == .done)
        #expect(talk.server.facts?.clientCertificate == nil)
    }

    @Test(arguments: TLSVersion.allCases)
    func aCertificateWithoutItsKeyIsRefused(version: TLSVersion) throws {
        let settings = clients.settings(version, "good")
        settings.useForeignKey()
        let talk = Conversation(try context(clients.rules(.require)), settings)
        let step = talk.handshake()
        guard case .failed(.certificateRejected(let rejection, _)) = step else {
            Issue.record("a foreign key came to \(step)")
            return
        }
        #expect(rejection == .foreignKey)
    }

    @Test func revocationListsCountSoftlyOrHard() throws {
        let cases: [(String?, RevocationCheck, String, Bool)] = [
            ("ca.crl", .soft, "good", true), ("ca.crl", .hard, "good", true), ("ca.crl", .soft, "revoked", false),
            ("ca.crl", .off, "revoked", true),
            // No list of the intermediate authority, and one that is too old.
            ("ca.crl", .soft, "deep", true), ("ca.crl", .hard, "deep", false), ("old.crl", .soft, "good", true),
            ("old.crl", .hard, "good", false),
        ]
        for (crl, check, name, isGood) in cases {
            let talk = Conversation(try context(clients.rules(.require, crl: crl, check)), clients.settings(.tls13, name))
            #expect((talk.handshake() == .done) == isGood, "\(crl ?? "") \(check) \(name)")
        }
    }

    @Test func noAuthorityIsOneSentence() throws {
        let empty = TemporaryFolder()
        #expect { try context(TLSPolicy.ClientCertificates(.require, authorities: empty.path)) } throws: {
            "\($0)".contains("holds no certificate of an authority") && "\($0)".contains("ftpsgate cert trust add")
        }
        #expect(throws: Never.self) { _ = try context(TLSPolicy.ClientCertificates(.request, authorities: empty.path)) }
        #expect(throws: TLSConfigurationError.self) {
            try context(TLSPolicy.ClientCertificates(.request, authorities: empty.file("none.crt")))
        }
    }

    // MARK: - Rules

    static let rules: [(allowed: [String], denied: [String], isGood: Bool)] = [
        (["cn=good"], [], true), (["cn=go*"], [], true), (["cn=other", "issuer=CN=ca"], [], true), (["cn=other"], [], false),
        (["ou=x"], [], false), (["issuer=CN=other"], [], false), ([], ["cn=good"], false), ([], ["cn=bad"], true),
        (["cn=good"], ["issuer=CN=c?"], false), (["subject=CN=good"], [], true),
    ]

    @Test(arguments: TLSVersion.allCases, rules)
    func rulesLetCertificatesInOrKeepThemOut(
        version: TLSVersion, rule: (allowed: [String], denied: [String], isGood: Bool)
    ) throws {
        var rules = clients.rules(.require, crl: "ca.crl")
        rules.allowed = rule.allowed.compactMap { CertificateRule($0) }
        rules.denied = rule.denied.compactMap { CertificateRule($0) }
        #expect(rules.allowed.count + rules.denied.count == rule.allowed.count + rule.denied.count)
        let talk = Conversation(try context(rules), clients.settings(version, "good"))
        let step = talk.handshake()
        if rule.isGood { return #expect(step == .done) }
        guard case .failed(.certificateRejected(let rejection, let subject)) = step else {
            Issue.record("it was not refused: \(step)")
            return
        }
        #expect(rejection.reason == .notAllowed && subject == "CN=good")
        #expect(talk.clientAlert == "handshake failure")
    }

    @Test func numbersAndPinsAreRulesToo() throws {
        let details = try Certificate.readAll(file: clients.path("good.crt"))[0].details
        let certificate = try Certificate.readAll(file: clients.path("good.crt"))[0]
        let pin = Shell.run(
            "openssl x509 -in \(clients.path("good.crt")) -pubkey -noout | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | openssl base64 -A"
        ).output
        for text in [
            "serial=\(details.serial)", "serial=00:\(details.serial.lowercased())", "spki=\(details.keyFingerprint)",
            "spki=sha256//\(pin)", "sha256=\(certificate.sha256Fingerprint.lowercased())",
        ] {
            var rules = clients.rules(.require)
            rules.allowed = [try #require(CertificateRule(text), "\(text)")]
            #expect(Conversation(try context(rules), clients.settings(.tls13, "good")).handshake() == .done, "\(text)")
            #expect(Conversation(try context(rules), clients.settings(.tls13, "second")).handshake() != .done, "\(text)")
        }
        for text in ["cn", "cn=", "foo=x", "serial=xyz", "spki=00", "spki=sha256//x", "sha256=\(details.serial)", "=x", ""] {
            #expect(CertificateRule(text) == nil, "\(text)")
        }
    }

    @Test(arguments: ResumptionTests.ways)
    func aSessionEndsWithTheRulesItCameUnder(way: ResumptionTests.Way) throws {
        let store = SessionStore()
        var strict = clients.rules(.require)
        strict.denied = [try #require(CertificateRule("cn=good"))]
        let (before, after) = (try context(clients.rules(.require), store: store), try context(strict, store: store))
        let (settings, tag) = (clients.settings(way.version, "good", tickets: way.tickets), SessionTag.random())
        let control = Conversation(before, settings, role: .control(tag: tag))
        #expect(control.handshake() == .done)
        expectRefused(Conversation(after, settings, resuming: control.session()), .notAllowed)
        // The same at the first new data connection, though its own control connection is still there.
        let data = Conversation(
            after, settings, role: .data(accepts: { $0 == tag }, terms: control.server.terms), resuming: control.session())
        expectRefused(data, .notAllowed)
    }

    @Test func hardWithoutACurrentListHasAReasonOfItsOwn() throws {
        for (list, name) in [("ca.crl", "deep"), ("old.crl", "good")] {
            let talk = Conversation(try context(clients.rules(.require, crl: list, .hard)), clients.settings(.tls13, name))
            expectRefused(talk, .noRevocationList)
        }
    }

    // MARK: - Ports and names

    @Test(arguments: TLSVersion.allCases)
    func portsAndNamesHaveRulesOfTheirOwn(version: TLSVersion) throws {
        let context = try context(TLSPolicy.ClientCertificates(.off)) {
            $0.clientCertificatesByPort[990] = clients.rules(.require)
            $0.clientCertificatesByName["partner.example.com"] = clients.rules(.require, authorities: "other.crt")
        }
        let cases: [(UInt16?, String?, String?, Bool)] = [
            (nil, nil, nil, true), (21, "ftps.example.com", nil, true), (990, nil, nil, false), (990, nil, "good", true),
            (990, "other.example.com", "unknown", false), (21, "partner.example.com", nil, false),
            (21, "PARTNER.example.com", "unknown", true), (990, "partner.example.com", "good", false),
        ]
        for (port, asked, name, isGood) in cases {
            let talk = Conversation(context, clients.settings(version, name), serverName: asked, port: port)
            #expect(
                (talk.handshake() == .done) == isGood, "port \(port ?? 0), \(asked ?? "no name"), \(name ?? "no certificate")")
        }
    }

    // MARK: - Resumed sessions

    /// The fence: a ticket that was got without a certificate, or under another authority, opens nothing that wants one
    /// (CVE-2025-23419, CVE-2022-21654).
    @Test(arguments: ResumptionTests.ways)
    func aSessionOfOtherRulesIsNotResumed(way: ResumptionTests.Way) throws {
        let store = SessionStore()
        let rules: [TLSPolicy.ClientCertificates] = [
            TLSPolicy.ClientCertificates(.off), clients.rules(.request), clients.rules(.require),
            clients.rules(.require, authorities: "other.crt"),
            clients.rules(.require, depth: 2),
        ]
        let contexts = try rules.map { try context($0, store: store) }
        for (from, first) in contexts.enumerated() {
            for (to, second) in contexts.enumerated() where from != to {
                // The client's certificate is good under the first rules.
                let settings = clients.settings(way.version, from == 3 ? "unknown" : "good", tickets: way.tickets)
                let got = Conversation(first, settings)
                #expect(got.handshake() == .done)
                let again = Conversation(second, settings, resuming: got.session())
                let step = again.handshake()
                #expect(again.server.facts?.isResumed != true, "from \(from) to \(to)")
                if to == 3 || from == 3 && to != 0 { #expect(step != .done, "from \(from) to \(to)") }
            }
        }
    }

    @Test(arguments: TLSVersion.allCases)
    func aSessionOfOneNameIsNotResumedUnderAStricterOne(version: TLSVersion) throws {
        let context = try context(TLSPolicy.ClientCertificates(.off)) {
            $0.clientCertificatesByName["partner.example.com"] = clients.rules(.require)
        }
        let settings = clients.settings(version, nil)
        let got = Conversation(context, settings, serverName: "ftps.example.com")
        #expect(got.handshake() == .done)
        let again = Conversation(context, settings, serverName: "partner.example.com", resuming: got.session())
        guard case .failed(.certificateRejected(let rejection, _)) = again.handshake() else {
            Issue.record("a ticket opened another name")
            return
        }
        #expect(rejection.reason == .noneSent)
    }

    @Test(arguments: TLSVersion.allCases, ["good", "deep"])
    func aSessionOfTheSameRulesIsResumed(version: TLSVersion, name: String) throws {
        let store = SessionStore()
        let before = try context(clients.rules(.require, crl: "ca.crl"), store: store)
        // Another certificate of the server, and another list of revoked ones: neither ends a session.
        let after = try context(clients.rules(.require, crl: "old.crl"), store: store)
        let settings = clients.settings(version, name)
        let got = Conversation(before, settings)
        #expect(got.handshake() == .done)
        let again = Conversation(after, settings, resuming: got.session())
        #expect(again.handshake() == .done)
        #expect(again.server.facts?.isResumed == true)
        #expect(again.server.facts?.clientCertificate?.subject == "CN=\(name)")
    }

    @Test(arguments: ResumptionTests.ways)
    func aSessionEndsWithItsCertificatesRevocation(way: ResumptionTests.Way) throws {
        let store = SessionStore()
        let before = try context(clients.rules(.require, crl: "old.crl"), store: store)
        let after = try context(clients.rules(.require, crl: "ca.crl"), store: store)
        let (settings, tag) = (clients.settings(way.version, "revoked", tickets: way.tickets), SessionTag.random())
        let control = Conversation(before, settings, role: .control(tag: tag))
        #expect(control.handshake() == .done)
        let again = Conversation(after, settings, resuming: control.session())
        expectRefused(again, .revoked)
        // The same at the first new data connection, though its own control connection is still there.
        let data = Conversation(
            after, settings, role: .data(accepts: { $0 == tag }, terms: control.server.terms), resuming: control.session())
        expectRefused(data, .revoked)
    }

    @Test(arguments: ResumptionTests.ways)
    func dataConnectionsResumeAcrossAChangeOfTheAuthorities(way: ResumptionTests.Way) throws {
        let store = SessionStore()
        let both = clients.folder.file("both")
        _ = Shell.run("mkdir -p \(both); cp \(clients.path("ca.crt")) \(clients.path("other.crt")) \(both)")
        let before = try context(clients.rules(.require), store: store)
        let after = try context(clients.rules(.require, authorities: "both"), store: store)
        let without = try context(clients.rules(.require, authorities: "other.crt"), store: store)
        let (settings, tag) = (clients.settings(way.version, "good", tickets: way.tickets), SessionTag.random())
        let control = Conversation(before, settings, role: .control(tag: tag))
        #expect(control.handshake() == .done)
        let role = TLSConnection.Role.data(accepts: { $0 == tag }, terms: control.server.terms)
        if way.version == .tls13 {
            control.server.queueTicket()
            _ = control.serverSends("x")
            _ = control.clientReads()
        }
        let session = control.session()
        let data = Conversation(after, settings, role: role, resuming: session)
        #expect(data.handshake() == .done)
        #expect(data.server.facts?.isResumed == true)
        // An authority that is trusted no more ends them.
        expectRefused(
            Conversation(without, settings, role: role, resuming: way.version == .tls13 ? nil : session), .unknownAuthority)
    }

    @Test(arguments: TLSVersion.allCases)
    func aDataConnectionComesUnderItsControlConnectionsRules(version: TLSVersion) throws {
        let context = try context(TLSPolicy.ClientCertificates(.off)) {
            $0.clientCertificatesByPort[990] = clients.rules(.require)
        }
        let control = Conversation(context, clients.settings(version, "good"), port: 990)
        #expect(control.handshake() == .done)
        // It comes to a passive port, and shows nothing.
        let role = TLSConnection.Role.data(accepts: { _ in false }, terms: control.server.terms)
        expectRefused(Conversation(context, clients.settings(version, nil), role: role, port: 50000), .noneSent)
        let good = Conversation(context, clients.settings(version, "good"), role: role, port: 50000)
        #expect(good.handshake() == .done)
        #expect(good.server.facts?.clientCertificate == control.server.facts?.clientCertificate)
    }

    private func expectRefused(
        _ talk: Conversation, _ reason: CertificateRejection.Reason, _ location: SourceLocation = #_sourceLocation
    ) {
        let step = talk.handshake()
        guard case .failed(.certificateRejected(let rejection, _)) = step else {
            Issue.record("the handshake came to \(step)", sourceLocation: location)
            return
        }
        #expect(rejection.reason == reason, sourceLocation: location)
    }
}

extension TestClientSettings {
    /// Signs handshakes with a key that is not its certificate's, as a thief of certificates would.
    func useForeignKey() {
        guard let key = try? PrivateKey.make(.p256), let x509 = SSL_CTX_get0_certificate(pointer) else { fatalError("no key") }
        // OpenSSL compares only when both are set through it: the certificate's own key is changed under its hands.
        X509_set_pubkey(x509, key.pointer)
        guard SSL_CTX_use_PrivateKey(pointer, key.pointer) == 1 else { fatalError("the key is not taken") }
    }
}
