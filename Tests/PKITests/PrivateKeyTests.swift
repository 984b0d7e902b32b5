import PKI
import TestSupport
import Testing

@Suite struct PrivateKeyTests {
    let folder = TemporaryFolder()

    @Test(arguments: [
        (PrivateKey.Kind.p256, "EC", 256), (.rsa(bits: 2048), "RSA", 2048), (.rsa(bits: 3072), "RSA", 3072),
        (.ed25519, "ED25519", 256),
    ])
    func keysOfEachKindAreMadeAndReadAgain(kind: PrivateKey.Kind, algorithm: String, bits: Int) throws {
        let key = try PrivateKey.make(kind)
        #expect(key.algorithm == algorithm)
        #expect(key.bits == bits)
        let path = folder.file("a.key")
        try key.write(to: path)
        #expect(Shell.mode(of: path) == 0o600)
        #expect(Shell.run("openssl pkey -in \(path) -check -noout 2>&1").output.contains("Key is valid"))
        let again = try PrivateKey(file: path)
        #expect(again.algorithm == algorithm)
        let certificate = try Certificate.selfSigned(
            key: key, profile: CertificateProfile(commonName: "a", dnsNames: [], ipAddresses: []), days: 1)
        #expect(certificate.matches(again))
    }

    /// What it likely is makes reading faster, and no more than that.
    @Test(arguments: [PrivateKey.Kind.p256, .p384, .rsa(bits: 2048), .ed25519], ["EC", "RSA", "ED25519", "nonsense"])
    func aKeyIsReadWhateverItWasTakenFor(kind: PrivateKey.Kind, algorithm: String) throws {
        let key = try PrivateKey.make(kind)
        let (path, cut) = (folder.file("a.key"), folder.file("cut.key"))
        try key.write(to: path)
        let certificate = try Certificate.selfSigned(
            key: key, profile: CertificateProfile(commonName: "a", dnsNames: [], ipAddresses: []), days: 1)
        #expect(certificate.matches(try PrivateKey(file: path, likely: algorithm)))
        #expect(Shell.run("head -c 60 \(path) > \(cut)").status == 0)
        #expect(throws: PKIError.noKey(file: cut)) { try PrivateKey(file: cut, likely: algorithm) }
    }

    @Test func aWrittenKeyReplacesAnOlderOneAndLeavesNothingBeside() throws {
        let path = folder.write("old", to: "a.key", mode: 0o644)
        try PrivateKey.make(.p256).write(to: path)
        #expect(Shell.mode(of: path) == 0o600)
        #expect(Shell.run("ls \(folder.path)").output == "a.key\n")
    }

    @Test func keysOfOpenSSLAreRead() throws {
        for (name, command) in [
            ("pkcs8", "openssl genpkey -out \"$OUT\" -algorithm EC -pkeyopt ec_paramgen_curve:P-256"),
            ("sec1", "openssl ecparam -out \"$OUT\" -name prime256v1 -genkey -noout"),
            ("pkcs1", "openssl genrsa -traditional -out \"$OUT\" 2048"),
            ("ed25519", "openssl genpkey -algorithm ED25519 -out \"$OUT\""),
        ] {
            let path = folder.file(name)
            #expect(Shell.run("OUT=\(path); \(command) 2>&1").status == 0)
            #expect(throws: Never.self) { _ = try PrivateKey(file: path) }
        }
    }

    @Test func eachWrongFileGetsItsOwnSentence() {
        #expect(throws: PKIError.file(path: folder.file("none"), errno: 2)) { try PrivateKey(file: folder.file("none")) }
        let text = folder.write("hello\n", to: "text")
        #expect(throws: PKIError.noKey(file: text)) { try PrivateKey(file: text) }
        let sentence = PKIError.noKey(file: text).description
        #expect(sentence.hasPrefix(text) && sentence.hasSuffix("."))
    }

    @Test func aFileWithoutEndIsNotReadForEver() {
        #expect(throws: PKIError.self) { try PrivateKey(file: "/dev/zero") }
    }
}
