import TestSupport
import Testing

/// `ftpsgate cert` as its users run it, judged by the `openssl` command.
@Suite struct CertificateCommandTests {
    let folder = TemporaryFolder()

    /// Runs a line in the folder; `ftpsgate` is the program under test.
    @discardableResult
    func sh(_ line: String) -> Shell.Result {
        Shell.run("cd \(folder.path) && { ftpsgate() { timeout 30 \(Program.path) \"$@\"; }; \(line); } 2>&1 </dev/null")
    }

    /// Runs lines that must all work.
    func prepare(_ lines: String...) {
        for line in lines {
            let result = sh(line)
            if result.status != 0 { Issue.record("\(line): \(result.output)") }
        }
    }

    // MARK: - create

    @Test(arguments: ["p256", "p384", "ed25519", "rsa-2048"])
    func createMakesKeyRequestAndCertificateInOneGo(type: String) {
        let made = sh("ftpsgate cert create ftps.example.com --key-type \(type) --ip 192.0.2.1 --dns alias.example.com --days 30")
        #expect(made.status == 0)
        #expect(made.output.contains("certificate signing request") && made.output.contains("the signed one replaces it"))
        #expect(Shell.mode(of: folder.file("ftps.example.com.key")) == 0o600)
        #expect(sh("openssl pkey -in ftps.example.com.key -noout -check").status == 0)
        #expect(sh("openssl req -in ftps.example.com.csr -noout -verify").status == 0)
        #expect(sh("openssl verify -CAfile ftps.example.com.crt -purpose sslserver ftps.example.com.crt").status == 0)
        let text = sh("openssl x509 -in ftps.example.com.crt -noout -text -checkend $((29 * 86400))").output
        #expect(text.contains("DNS:ftps.example.com, DNS:alias.example.com, IP Address:192.0.2.1"))
        #expect(text.contains("Certificate will not expire"))
        #expect(sh("ftpsgate cert check ftps.example.com --host alias.example.com").status == 0)
    }

    @Test func aKeyIsNeverOverwrittenUnasked() {
        prepare("ftpsgate cert create a", "cp a.key before")
        let again = sh("ftpsgate cert create a")
        #expect(again.status == 64)
        #expect(again.output.contains("a.key is there already") && again.output.contains("--force"))
        prepare("cmp a.key before", "ftpsgate cert create a --reuse-key --days 9", "cmp a.key before", "ls a.crt.old")
        prepare("ftpsgate cert create a --force")
        #expect(sh("cmp a.key before").status == 1)
        #expect(sh("ftpsgate cert authority a").status == 64)
    }

    @Test func noCommandPrintsAPrivateKey() {
        prepare("ftpsgate cert create a", "ftpsgate cert create c --for client")
        let lines = [
            "ftpsgate cert show a.key a.crt a.csr", "ftpsgate cert check a",
            "ftpsgate cert create b --authority-cert a.crt --authority-key a.key",
            "X=p ftpsgate cert export a --passphrase-env X; X=p ftpsgate cert show a.p12 --passphrase-env X",
        ]
        let secret = sh("grep -v -- --- a.key | head -1 | cut -c 1-40").output.dropLast()
        for line in lines {
            let output = sh(line).output
            #expect(!output.contains("PRIVATE KEY") && !output.contains(secret), "\(line)")
        }
    }

    // MARK: - Passphrases

    @Test(arguments: ["--passphrase-file pass", "--passphrase-env PASS", "--passphrase-command 'cat pass'"])
    func encryptedKeysOpenWithEachSource(source: String) {
        prepare(
            "printf 'se cret\\nsecond line\\n' > pass", "export PASS='se cret'; ftpsgate cert create a --encrypt \(source)",
            "openssl pkey -in a.key -passin 'pass:se cret' -noout",
            "export PASS='se cret'; ftpsgate cert check a \(source)",
            "export PASS='se cret'; ftpsgate cert authority ca --encrypt \(source)",
            "export PASS='se cret'; ftpsgate cert create b --for client --authority ca \(source)",
            "openssl verify -CAfile ca.crt b.crt")
        #expect(sh("head -1 a.key").output == "-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
        let wrong = sh("echo wrong > bad; ftpsgate cert check a --passphrase-file bad")
        #expect(wrong.status == 64)
        #expect(wrong.output == "ftpsgate: The passphrase does not open a.key; give the one that it was made with.\n")
        let none = sh("setsid -w \(Program.path) cert check a")
        #expect(none.status == 64)
        #expect(none.output.contains("is encrypted, and no passphrase was given"))
    }

    @Test func filesOfOpenSSLAreRead() {
        prepare(
            "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=their-ca -days 30 -addext keyUsage=critical,keyCertSign,cRLSign",
            "chmod 600 ca.key",
            "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout joe.key -out joe.csr -subj /O=x/CN=joe -addext extendedKeyUsage=clientAuth",
            "ftpsgate cert sign joe.csr --authority ca --days 10", "openssl verify -CAfile ca.crt -purpose sslclient joe.crt",
            "openssl x509 -in joe.crt -outform DER -out joe.der", "openssl x509 -in ca.crt -outform DER -out ca.der",
            "openssl req -in joe.csr -outform DER -out joe.req",
            "openssl pkey -in joe.key -outform DER -out joe.keyder; chmod 600 joe.keyder",
            "openssl pkcs8 -topk8 -in joe.key -passout pass:x -out enc.key; openssl pkcs8 -topk8 -in joe.key -passout pass:x -outform DER -out enc.der",
            "openssl ec -in joe.key -aes256 -passout pass:x -out trad.key",
            "openssl pkcs12 -export -in joe.crt -inkey joe.key -certfile ca.crt -passout pass:x -out joe.p12; chmod 600 *.key *.der",
            "ftpsgate cert sign joe.req --authority ca --out again.crt", "openssl verify -CAfile ca.crt again.crt")
        for (file, words) in [
            ("joe.der", "a certificate"), ("ca.der", "the certificate of an authority"),
            ("joe.req", "a certificate signing request"),
            ("joe.keyder", "a private key, EC P-256"), ("enc.key", "a private key, EC P-256"),
            ("enc.der", "a private key, EC P-256"),
            ("trad.key", "a private key, EC P-256"),
            ("joe.p12", "a PKCS #12 bundle of a private key (EC P-256) and 2 certificates"),
        ] {
            let shown = sh("X=x ftpsgate cert show \(file) --passphrase-env X")
            #expect(shown.status == 0 && shown.output.contains(words), "\(file): \(shown.output)")
        }
        for key in ["joe.key", "joe.keyder", "enc.key", "enc.der", "trad.key"] {
            #expect(sh("X=x ftpsgate cert check joe.crt --key \(key) --passphrase-env X").status == 0, "\(key)")
        }
    }

    // MARK: - sign, authority

    @Test func theSignedCertificateReplacesTheUnsignedOne() {
        prepare("ftpsgate cert authority ca", "ftpsgate cert create ftps.example.com", "cp ftps.example.com.crt unsigned")
        let signed = sh("ftpsgate cert sign ftps.example.com.csr --authority ca")
        #expect(signed.status == 0)
        #expect(
            signed.output.contains("signed by CN=ca")
                && signed.output.contains("ftps.example.com.crt.old  the certificate before it"))
        prepare("cmp unsigned ftps.example.com.crt.old", "openssl verify -CAfile ca.crt ftps.example.com.crt")
        #expect(sh("openssl x509 -in ftps.example.com.crt -noout -ext subjectAltName").output.contains("DNS:ftps.example.com"))
    }

    @Test func aServersCertificateCanSignItsClients() {
        prepare(
            "ftpsgate cert create srv --signs-clients", "ftpsgate cert create joe --for client",
            "ftpsgate cert sign joe.csr --authority srv",
            "openssl verify -CAfile srv.crt -purpose sslserver srv.crt",
            "openssl verify -CAfile srv.crt -purpose sslclient joe.crt",
            "ftpsgate cert trust test joe.crt --client-ca srv.crt")
        #expect(
            sh(
                "ftpsgate cert authority below --authority srv && ftpsgate cert create eve --for client --authority below; openssl verify -CAfile srv.crt -untrusted below.crt eve.crt"
            ).output.contains("path length constraint exceeded"))
    }

    @Test func intermediatesStandBehindWhatTheySign() {
        prepare(
            "ftpsgate cert authority root", "ftpsgate cert authority middle --authority root --path-length 0",
            "ftpsgate cert create a --authority middle", "openssl verify -CAfile root.crt -untrusted middle.crt a.crt")
        #expect(sh("grep -c BEGIN a.crt").output == "2\n")
        #expect(sh("ftpsgate cert check a").output.contains("a.crt is good until"))
        prepare("openssl x509 -in a.crt -out alone.crt")
        #expect(sh("ftpsgate cert check alone.crt").output.contains("an intermediate certificate is missing"))
    }

    @Test func onlyAuthoritiesSign() {
        prepare("ftpsgate cert create a", "ftpsgate cert create b --for client")
        #expect(sh("ftpsgate cert sign b.csr --authority a").output.contains("may not sign others"))
        prepare("ftpsgate cert authority ca", "ftpsgate cert authority other")
        #expect(
            sh("ftpsgate cert sign b.csr --authority-cert ca.crt --authority-key other.key").output.contains("does not belong to")
        )
        // A request that its own key has not signed.
        prepare("openssl req -in b.csr -outform DER -out bad.csr", "printf '\\001' | dd of=bad.csr bs=1 seek=60 conv=notrunc")
        #expect(sh("ftpsgate cert sign bad.csr --authority ca").status == 64)
        prepare("openssl req -newkey ed25519 -nodes -keyout x.key -out x.csr -subj /CN=x")
        #expect(sh("ftpsgate cert sign x.csr --authority ca").output.contains("add --for server or --for client"))
        // What gives power never comes from the request.
        prepare(
            "openssl req -newkey ed25519 -nodes -keyout y.key -out y.csr -subj /CN=y -addext basicConstraints=critical,CA:TRUE",
            "ftpsgate cert sign y.csr --authority ca --for client")
        #expect(sh("openssl x509 -in y.crt -noout -ext basicConstraints").output.contains("CA:FALSE"))
    }

    @Test func readableKeysAreRefused() {
        prepare("ftpsgate cert authority ca", "ftpsgate cert create a", "chmod 644 ca.key a.key")
        #expect(
            sh("ftpsgate cert sign a.csr --authority ca").output
                == "ftpsgate: ca.key can be read by everyone on this machine; protect it with: chmod 600 ca.key.\n")
        let checked = sh("ftpsgate cert check a")
        #expect(checked.status == 1 && checked.output.contains("wrong: a.key can be read by everyone"))
    }

    // MARK: - check

    @Test func checkTellsWhatWillNotWork() {
        prepare("ftpsgate cert create a", "ftpsgate cert create b", "ftpsgate cert create joe --for client")
        let cases = [
            ("a.crt --key b.key", "The private key is not this certificate's"),
            ("a --host b.example.com", "It is not for b.example.com, but for a"),
            ("joe --for server", "It is not meant for servers"), ("expired.crt", "It expired on"),
            ("weak.crt --key weak.key", "1024 bits"),
            ("future.crt", "It is not valid before"), ("mixed.crt", "out of order"),
        ]
        prepare(
            "openssl genrsa -out weak.key 1024; openssl req -x509 -key weak.key -subj /CN=w -out weak.crt -days 99; chmod 600 weak.key",
            "cat a.crt b.crt > mixed.crt",
            "openssl req -new -key a.key -subj /CN=e -out e.csr; touch index; echo 01 > serial; printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index\\nserial=serial\\nnew_certs_dir=.\\ndefault_md=sha256\\npolicy=p\\n[p]\\ncommonName=supplied\\n' > ca.cnf",
            "openssl ca -batch -config ca.cnf -selfsign -keyfile a.key -in e.csr -out expired.crt -startdate 200101000000Z -enddate 210101000000Z -notext",
            "sed -i d index; openssl ca -batch -config ca.cnf -selfsign -keyfile a.key -in e.csr -out future.crt -startdate 400101000000Z -enddate 410101000000Z -notext"
        )
        for (arguments, words) in cases {
            let result = sh("ftpsgate cert check \(arguments)")
            #expect(
                result.status == 1 && result.output.contains("wrong: ") && result.output.contains(words),
                "\(arguments): \(result.output)")
        }
    }

    // MARK: - trust, revoke

    @Test func theDatabaseAnswersWhoWouldBeAccepted() {
        prepare(
            "ftpsgate cert authority ca", "ftpsgate cert create joe --for client --authority ca",
            "ftpsgate cert create eve --for client", "ftpsgate cert create srv --authority ca")
        #expect(sh("ftpsgate cert trust test joe.crt --trusted db").output.hasPrefix("no, because of unknown_authority"))
        prepare("ftpsgate cert trust add ca.crt --trusted db", "ftpsgate cert trust add ca.crt --trusted db")
        #expect(sh("ls db | wc -l").output == "1\n")
        #expect(sh("ftpsgate cert trust test joe.crt --trusted db").output.hasPrefix("yes: CN=joe"))
        for (file, reason) in [("eve.crt", "self_signed"), ("srv.crt", "wrong_purpose")] {
            let answer = sh("ftpsgate cert trust test \(file) --trusted db")
            #expect(answer.status == 1 && answer.output.hasPrefix("no, because of \(reason)"))
        }
        #expect(sh("ftpsgate cert trust add joe.crt --trusted db").output.contains("--single"))
        #expect(sh("ftpsgate cert trust list --trusted db").output.contains("CN=ca"))
        prepare("ftpsgate cert trust remove ca --trusted db")
        #expect(sh("ftpsgate cert trust remove ca --trusted db").status == 64)
        #expect(sh("ftpsgate cert trust list --trusted db").output == "db is empty: nobody is trusted yet.\n")
        prepare("mkdir state; ftpsgate cert trust add ca.crt --state-directory state", "ls state/trusted/*.crt")
    }

    @Test func revokedCertificatesAreListed() {
        prepare(
            "ftpsgate cert authority ca", "ftpsgate cert create joe --for client --authority ca",
            "ftpsgate cert create ann --for client --authority ca",
            "ftpsgate cert crl --authority ca", "openssl crl -in ca.crl -noout -CAfile ca.crt",
            "ftpsgate cert trust test joe.crt --client-ca ca.crt --client-crl ca.crl --client-crl-check hard",
            "ftpsgate cert revoke joe --authority ca --reason key-compromise",
            "openssl crl -in ca.crl -noout -CAfile ca.crt -verify")
        #expect(sh("openssl crl -in ca.crl -noout -text").output.contains("Key Compromise"))
        #expect(sh("openssl verify -crl_check -CRLfile ca.crl -CAfile ca.crt joe.crt").output.contains("certificate revoked"))
        prepare("openssl verify -crl_check -CRLfile ca.crl -CAfile ca.crt ann.crt")
        #expect(
            sh("ftpsgate cert trust test joe.crt --client-ca ca.crt --client-crl ca.crl").output.hasPrefix(
                "no, because of revoked"))
        prepare(
            "ftpsgate cert trust test ann.crt --client-ca ca.crt --client-crl ca.crl --client-crl-check hard",
            "ftpsgate cert authority other")
        // Nobody knows whether the other authority has revoked it: hard refuses, soft lets it pass.
        prepare(
            "ftpsgate cert create bob --for client --authority other",
            "ftpsgate cert trust test bob.crt --client-ca other.crt --client-crl ca.crl")
        #expect(
            sh("ftpsgate cert trust test bob.crt --client-ca other.crt --client-crl ca.crl --client-crl-check hard").status == 1)
        #expect(sh("ftpsgate cert revoke bob --authority ca").output.contains("was not signed by the authority"))
    }

    // MARK: - export

    @Test(arguments: ["", "--legacy"])
    func exportMakesABundleThatOthersOpen(legacy: String) {
        prepare(
            "ftpsgate cert authority root", "ftpsgate cert authority middle --authority root",
            "ftpsgate cert create joe --for client --authority middle",
            "X=pw ftpsgate cert export joe --passphrase-env X \(legacy)")
        #expect(Shell.mode(of: folder.file("joe.p12")) == 0o600)
        let text = sh("openssl pkcs12 -in joe.p12 -passin pass:pw -nodes -info")
        #expect(text.status == 0 && text.output.contains("friendlyName: joe"))
        #expect(text.output.contains(legacy.isEmpty ? "AES-256-CBC" : "pbeWithSHA1And3-KeyTripleDES-CBC"))
        #expect(sh("openssl pkcs12 -in joe.p12 -passin pass:pw -nodes | grep -c 'BEGIN CERT'").output == "2\n")
        #expect(sh("openssl pkcs12 -in joe.p12 -passin pass:wrong -nodes").status != 0)
        #expect(sh("X=no ftpsgate cert show joe.p12 --passphrase-env X").output.contains("The passphrase does not open joe.p12"))
        #expect(sh("X=pw ftpsgate cert export joe --passphrase-env X").status == 64)
    }

    // MARK: - Bad input

    @Test(arguments: [
        "show", "check", "sign --authority none", "trust add", "trust test --client-ca none", "revoke --authority none", "export",
    ])
    func badFilesGetOneSentence(command: String) {
        let words = command.split(separator: " ")
        for (name, content) in [
            ("none", nil), ("empty", ""), ("junk", "hello\n"), ("half", "-----BEGIN CERTIFICATE-----\nMIIB\n"),
        ] as [(String, String?)] {
            if let content { folder.write(content, to: name) }
            let nested = words.count > 1 && words[0] == "trust"
            let rest = words.dropFirst(nested ? 2 : 1).joined(separator: " ")
            let result = sh("ftpsgate cert \(words[0])\(nested ? " \(words[1])" : "") \(name) \(rest)")
            #expect(result.status == 64, "\(name): \(result.output)")
            #expect(
                result.output.hasPrefix("ftpsgate: ") && result.output.split(separator: "\n").count == 1
                    && result.output.hasSuffix(".\n"), "\(result.output)")
        }
    }

    @Test(arguments: ["a,DNS:evil", "-x y", "a\nb"])
    func namesCannotBreakOut(name: String) {
        let result = sh("ftpsgate cert create ok --dns=\"$(printf -- '\(name.replacing("\n", with: "\\n"))')\"")
        #expect(result.status == 64 && result.output.contains("is no host name that a certificate can hold"))
        #expect(sh("ls ok.key").status != 0)
    }

    /// What new users get wrong, and the words that help them on.
    @Test func mistakesAreNamed() {
        prepare(
            "ftpsgate cert authority ca", "ftpsgate cert create srv --authority ca",
            "ftpsgate cert create joe --for client --authority ca",
            "mkdir dir; head -c 300 srv.crt > cut.crt; (openssl x509 -in srv.crt -outform DER; cat ca.crt) > mixed.crt",
            "ftpsgate cert sign joe --authority ca", "ftpsgate cert trust add ca.crt --trusted db",
            "ftpsgate cert trust test joe --trusted db")
        let cases = [
            ("create ''", "is no name for files"), ("create /", "is no name for files"), ("create .", "is no name for files"),
            ("create dir/", "is no name for files"),
            ("create none/a", "see that the name is right, and that its folder is there"),
            ("create \(String(repeating: "a", count: 65))", "give another with --common-name"),
            ("create a --organization ''", "give another with --organization"), ("create a --dns b\u{fc}cher.example", "xn--"),
            ("create a --dns 'a.*.com'", "* for the first label alone"), ("create a --ip fe80::1%eth0", "without a zone"),
            ("create a --email x", "is no e-mail address"), ("create a --uri x", "is no URI"),
            ("create a --days 0", "from 1 to 36500"), ("create a --days=-1", "from 1 to 36500"),
            ("create a --days 99999999999999999999", "invalid for '--days"), ("create a --key-type rsa", "rsa-2048"),
            ("create srv", "use it with --reuse-key"), ("show dir", "name a file in it"), ("show cut.crt", "is cut short"),
            ("show mixed.crt", "something follows it"), ("show /dev/zero", "File too large"),
            ("check srv --host ''", "--host is"),
            ("sign joe.crt --authority ca", "BEGIN CERTIFICATE REQUEST"), ("sign joe.csr --authority joe", "may not sign others"),
            ("sign joe.csr --authority ca --out dir", "Is a directory"), ("trust add ca.crt --trusted srv.crt", "name a folder"),
            ("trust test joe.crt --client-ca none", "No such file or directory"),
            ("trust test joe.crt --client-cert-allow foo=1", "is no rule; write cn, ou, o"),
            ("revoke joe --authority ca --days 0", "from 1 to 3650"),
            ("revoke joe --authority ca --days 99999999999", "1 to 3650"),
            ("export joe", "there is no terminal to ask at"), ("export joe --passphrase-file /dev/null", "would protect nothing"),
            ("check srv --passphrase-fd x", "invalid for '--passphrase-fd"),
        ]
        for (arguments, words) in cases {
            let result = sh("setsid -w \(Program.path) cert \(arguments)")
            #expect(result.status == 64, "\(arguments): \(result.output)")
            #expect(result.output.contains(words), "\(arguments): \(result.output)")
        }
        #expect(sh("ls a.key dir/* aa*").status != 0)
        prepare("echo pw > pass; ftpsgate cert export joe --passphrase-file pass; chmod 644 srv.key")
        #expect(sh("ftpsgate cert export joe --passphrase-file pass").output.contains("choose another name, or overwrite it"))
        #expect(sh("ftpsgate cert export srv --passphrase-file pass").output.contains("chmod 600 srv.key"))
    }

    @Test func aNameThatIsAnAddressStandsInTheCertificate() {
        prepare("ftpsgate cert create 2001:db8::1", "ftpsgate cert create 192.0.2.7 --ip 192.0.2.7")
        #expect(sh("ftpsgate cert check 2001:db8::1 --host 2001:db8::1").status == 0)
        #expect(sh("openssl x509 -in 192.0.2.7.crt -noout -ext subjectAltName").output.contains("IP Address:192.0.2.7\n"))
        #expect(sh("ftpsgate cert create 'a b'").output.contains("warning: the certificate has no DNS name and no address"))
        #expect(!sh("ftpsgate cert create 'a c' --for client").output.contains("warning"))
        #expect(
            sh("ftpsgate cert create '*.example.com' && ftpsgate cert check '*.example.com' --host www.example.com").status == 0)
    }

    @Test func whatSharesAFileStaysTrusted() {
        prepare(
            "ftpsgate cert authority one; ftpsgate cert authority two; mkdir db; cat one.crt two.crt > db/both.crt",
            "ftpsgate cert trust remove one --trusted db")
        let left = sh("ftpsgate cert trust list --trusted db").output
        #expect(left.contains("CN=two") && !left.contains("CN=one"))
        prepare("ftpsgate cert trust remove db/both.crt --trusted db")
        #expect(sh("ls db").output.isEmpty)
    }

    @Test func anAuthorityIsRenewedWithItsKey() {
        prepare(
            "ftpsgate cert authority ca --days 1", "ftpsgate cert create joe --for client --authority ca --days 1",
            "ftpsgate cert authority ca --reuse-key", "openssl verify -CAfile ca.crt joe.crt")
    }

    @Test func helpSpeaksOfTheFourSteps() {
        let help = sh("ftpsgate cert --help; ftpsgate cert trust --help; ftpsgate cert sign --help").output.replacing(
            "\n", with: " ")
        for words in [
            "trusted authorities database", "certificate signing request", "the signed one replaces the unsigned one", "NAME.crt",
            "NAME.key",
        ] {
            #expect(help.replacing("  ", with: " ").contains(words), "\(words)")
        }
    }
}
