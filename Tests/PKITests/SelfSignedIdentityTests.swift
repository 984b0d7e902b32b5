import PKI
import TestSupport
import Testing

@Suite struct SelfSignedIdentityTests {
    let folder = TemporaryFolder()

    func ensure(days: Int = 10) throws -> SelfSignedIdentity {
        try SelfSignedIdentity.ensure(
            directory: folder.path, name: "gate", dnsNames: ["gate.example"], ipAddresses: ["127.0.0.1"], days: days)
    }

    @Test func theFilesAreMadeOnceAndKept() throws {
        let first = try ensure()
        #expect(first.isNew)
        #expect(Shell.run("ls \(folder.path)").output == "gate.crt\ngate.csr\ngate.key\n")
        let second = try ensure()
        #expect(!second.isNew)
        #expect(second.fingerprint == first.fingerprint)
    }

    @Test func aLostRequestIsWrittenAgain() throws {
        let identity = try ensure()
        _ = Shell.run("rm \(identity.requestFile)")
        _ = try ensure()
        #expect(Shell.run("openssl req -in \(identity.requestFile) -noout -verify 2>&1").status == 0)
    }

    @Test func aHalfIdentityIsNotMendedBehindTheOperatorsBack() throws {
        let identity = try ensure()
        _ = Shell.run("rm \(identity.keyFile)")
        #expect(throws: PKIError.missing(file: identity.keyFile, beside: identity.certificateFile)) { try ensure() }
    }

    @Test func aForeignKeyAndAnExpiredCertificateAreRefused() throws {
        let identity = try ensure()
        try PrivateKey.make(.p256).write(to: identity.keyFile)
        #expect(throws: PKIError.mismatch(certificateFile: identity.certificateFile, keyFile: identity.keyFile)) { try ensure() }
        _ = Shell.run("rm \(folder.path)/*")
        _ = try ensure(days: -1)
        #expect(throws: PKIError.self) { try ensure() }
    }
}
