import ArgumentParser
import FTPSession
import Gateway
import PKI
import System
import TLS
import TestSupport
import Testing
import Wire

@testable import ftpsgate

/// What the flags about clients' certificates mean.
@Suite struct ClientCertificateSettings {
    private func judge(
        _ arguments: [String], environment: [String: String] = [:]
    ) throws -> (choices: Choices, problems: [String]) {
        let settings = Settings(
            given: GivenFlags(try Flags.parse(["--backend", "192.0.2.9"] + arguments)), environment: environment)
        var reader = SettingsReader(settings)
        var choices = Choices(&reader)
        choices.useTrustedAuthorities(of: environment, makesFiles: false)
        choices.readCertificateLogins(&reader)
        return (choices, reader.problems.map(\.description))
    }

    @Test func theDatabaseIsTrustedWhereNobodyIsNamed() throws {
        let (choices, problems) = try judge(["--client-cert", "require", "--state-directory", "/srv/state"])
        #expect(problems.isEmpty)
        #expect(choices.tls.clientCertificates == .init(.require, authorities: "/srv/state/trusted"))
        #expect(try judge([]).choices.tls.clientCertificates == .init(.off))
        #expect(choices.files.contains("/srv/state/trusted"))
    }

    @Test func listsOfRevokedCertificatesCountSoftlyUnlessToldOtherwise() throws {
        let soft = try judge(["--client-cert", "request", "--client-ca", "ca.crt", "--client-crl", "lists"]).choices.tls
            .clientCertificates
        #expect((soft.revocationLists, soft.revocationCheck) == ("lists", .soft))
        let hard = try judge([
            "--client-cert", "request", "--client-crl", "lists", "--client-crl-check", "hard", "--client-cert-depth", "0",
            "--no-client-ca-names",
        ])
        #expect(hard.choices.tls.clientCertificates.revocationCheck == .hard)
        #expect(hard.choices.tls.clientCertificates.depth == 0)
        #expect(!hard.choices.tls.clientCertificates.namesAuthorities)
    }

    @Test func portsAndNamesHaveRulesOfTheirOwn() throws {
        let (choices, problems) = try judge([
            "--listen", "2121", "--listen-implicit", "990", "--client-ca", "ca.crt", "--client-cert-for", "990=require",
            "--client-cert-for", "Partner.example.com=request,ca=partner.crt,crl=partner.crl",
        ])
        #expect(problems.isEmpty)
        #expect(choices.tls.clientCertificates.demand == .off)
        #expect(choices.tls.clientCertificatesByPort == [990: .init(.require, authorities: "ca.crt")])
        var partner = TLSPolicy.ClientCertificates(.request, authorities: "partner.crt")
        (partner.revocationLists, partner.revocationCheck) = ("partner.crl", .soft)
        #expect(choices.tls.clientCertificatesByName == ["partner.example.com": partner])
        #expect(choices.files.contains("partner.crl"))
    }

    @Test func rulesAreTakenForEveryoneAndForSome() throws {
        let (choices, problems) = try judge([
            "--client-cert", "require", "--client-ca", "ca.crt", "--client-cert-allow", "ou=Printers", "--client-cert-allow",
            "issuer=CN=a, b", "--client-cert-deny", "serial=0a:1B", "--client-cert-for",
            "partner.example.com=require,ocsp=hard,allow=cn=joe,allow=uri=urn:x:*",
        ])
        #expect(problems.isEmpty)
        let everyone = choices.tls.clientCertificates
        #expect(everyone.allowed.map(\.description) == ["ou=Printers", "issuer=CN=a, b"])
        #expect(everyone.denied.map(\.description) == ["serial=A1B"])
        let partner = choices.tls.clientCertificatesByName["partner.example.com"]
        #expect(partner?.allowed.map(\.description) == ["cn=joe", "uri=urn:x:*"])
        #expect(partner?.denied == everyone.denied)
        #expect(partner?.statusCheck == .hard && everyone.statusCheck == .off)
    }

    @Test func bundlesNeedNoKey() throws {
        let (choices, problems) = try judge([
            "--cert", "a.crt", "--cert", "b.P12", "--cert", "c.crt", "--cert", "d.pfx", "--key", "a.key", "--key", "c.key",
        ])
        #expect(problems.isEmpty)
        #expect(choices.identities.map(\.certificate) == ["a.crt", "b.P12", "c.crt", "d.pfx"])
        #expect(choices.identities.map(\.key) == ["a.key", nil, "c.key", nil])
        #expect(try judge(["--cert", "a.p12", "--key", "a.key"]).problems.count == 1)
    }

    @Test func certificatesNameTheirUsers() throws {
        let (choices, problems) = try judge([
            "--client-cert", "require", "--client-cert-user", "cn", "--client-cert-user", "email=*@example.com",
            "--client-cert-user", "uri=urn:user:*",
        ])
        #expect(problems.isEmpty)
        #expect(
            choices.certificateUsers == [
                .init(field: .cn), .init(field: .email, surroundings: .init(before: "", after: "@example.com")),
                .init(field: .uri, surroundings: .init(before: "urn:user:", after: "")),
            ])
    }

    @Test func storedPasswordsAreReadAndNeverPrinted() throws {
        let folder = TemporaryFolder()
        let file = folder.write("# users\nanna se cret \r\n\nbert x\n", to: "logins", mode: 0o600)
        let (choices, problems) = try judge(["--client-cert", "require", "--client-cert-login", file])
        #expect(problems.isEmpty)
        #expect(choices.session.certificateLogins["anna"]?.bytes == Array("se cret ".utf8))
        #expect(choices.session.certificateLogins.count == 2)
        #expect(choices.certificateUsers == [.init(field: .cn)])
        var dumped = ""
        dump(choices.session, to: &dumped)
        #expect(!"\(choices.session) \(dumped)".contains("cret "))
        #expect(choices.files.contains(file))
    }

    @Test func mistakesAreNamed() throws {
        let folder = TemporaryFolder()
        let open = folder.write("anna x\n", to: "open", mode: 0o644)
        let bad = folder.write("anna\n", to: "bad", mode: 0o600)
        let cases: [([String], String)] = [
            (["--client-ca", "x"], "--client-ca x: no client is asked for a certificate; add --client-cert require."),
            (["--client-cert", "require", "--client-crl-check", "hard"], "there is no list, so nobody could log in"),
            (["--client-cert", "require", "--client-cert-for", "999=off"], "no listener has port 999"),
            (["--client-cert", "require", "--client-cert-for", "x.example=maybe"], "write PORT or NAME"),
            (["--client-cert", "require", "--client-cert-for", "x.example=off,key=y"], "write PORT or NAME"),
            (["--client-cert", "require", "--client-cert-user", "uid"], "write cn, email, dns, uri or upn"),
            (["--client-cert", "require", "--client-cert-user", "cn=a*b*c"], "write cn, email, dns, uri or upn"),
            (["--client-cert", "require", "--client-cert-allow", "foo=x"], "write cn, ou, o, email"),
            (["--client-cert", "require", "--client-cert-deny", "serial=xyz"], "write cn, ou, o, email"),
            (["--client-cert-deny", "cn=x"], "no client is asked for a certificate"),
            (["--client-ocsp", "soft"], "no client is asked for a certificate"),
            (["--client-cert", "require", "--client-ocsp", "maybe"], "one of off, soft, hard"),
            (["--client-cert", "require", "--client-cert-for", "x.example=require,ocsp=maybe"], "write PORT or NAME"),
            (["--client-cert", "require", "--client-cert-for", "x.example=off,allow=cn"], "write PORT or NAME"),
            (["--client-cert", "require", "--client-cert-depth", "21"], "write a number from 0 to 20"),
            (["--client-cert", "require", "--client-cert-login", open], "protect it: chmod 600"),
            (["--client-cert", "require", "--client-cert-login", bad], "line 1 is not USER PASSWORD"),
            (["--client-cert", "require", "--client-cert-login", folder.file("none")], "it cannot be read"),
        ]
        for (arguments, words) in cases {
            let problems = try judge(arguments).problems
            #expect(problems.count == 1 && problems[0].contains(words), "\(arguments): \(problems)")
        }
    }
}
