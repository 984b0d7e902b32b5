import Gateway
import PKI
import System
import TLS
import Telemetry
import Wire

/// The certificates that the gateway shows: those that `--cert` and `--key` name, or a self-signed one.
struct Identities {
    /// Worth a line in the log: how the self-signed certificate came about.
    enum Origin {
        case given
        case selfSigned(SelfSignedIdentity)
        case unsaved(fingerprint: String, tried: [String])
    }

    let identities: [TLSIdentity]
    let origin: Origin
    private let keyFiles: [String]
    private let fetchesStaples: Bool

    /// As long as most machines live: whoever trusts it by its fingerprint must not be surprised.
    private static let days = 3650
    private static let name = "ftpsgate"

    /// - Parameters:
    ///   - makesFiles: false for `check`, which leaves everything as it is.
    ///   - running: those that are taken over where their files have not changed.
    ///   - now: what the files of the running ones say.
    /// - Throws: sentences about the files.
    init(
        _ choices: Choices, environment: [String: String], makesFiles: Bool, running: Identities?, _ now: [String: FileDigest]
    ) throws(ConfigurationProblems) {
        fetchesStaples = choices.fetchesStaples
        if choices.identities.isEmpty {
            keyFiles = choices.secretFiles
            (identities, origin) = try Self.selfSigned(choices, environment, makesFiles: makesFiles, running)
        } else {
            let running = Dictionary((running?.identities ?? []).map { ($0.certificateFile, $0) }) { first, _ in first }
            identities = try Self.named(choices.identities, choices.keyPassphrases) { certificate, key in
                running[certificate].flatMap { $0.isCurrent(keyFile: key, now) ? $0 : nil }
            }
            origin = .given
            keyFiles = choices.identities.map { $0.key ?? $0.certificate } + choices.secretFiles
        }
    }

    /// - Parameter current: nil where the files must be read.
    private static func named(
        _ files: [(certificate: String, key: String?)], _ passphrases: Passphrases,
        _ current: (_ certificate: String, _ key: String?) -> TLSIdentity?
    ) throws(ConfigurationProblems) -> [TLSIdentity] {
        var problems: [ConfigurationProblem] = []
        var loaded: [TLSIdentity] = []
        for (certificate, key) in files {
            if let known = current(certificate, key) {
                loaded.append(known)
                continue
            }
            do throws(TLSConfigurationError) {
                loaded.append(
                    try TLSIdentity(certificateFile: certificate, keyFile: key) { (_) throws(PKIError) in try passphrases.read() }
                )
            } catch {
                problems.append(ConfigurationProblem("--cert", certificate, sentence: error.description))
            }
        }
        guard problems.isEmpty else { throw ConfigurationProblems(problems) }
        return loaded
    }

    private static func selfSigned(
        _ choices: Choices, _ environment: [String: String], makesFiles: Bool, _ running: Identities?
    ) throws(ConfigurationProblems) -> ([TLSIdentity], Origin) {
        let host = Process.hostName.flatMap { isHostName($0) && $0 != "localhost" ? $0 : nil }
        let dnsNames = ["localhost"] + (host.map { [$0] } ?? [])
        let addresses = ["127.0.0.1", "::1"] + choices.ownAddresses.map { "\($0)" }.filter { $0 != "127.0.0.1" && $0 != "::1" }
        let directory = makesFiles ? StateDirectory.prepare(choices.stateDirectory, environment: environment) : nil
        do {
            guard let directory else {
                // Clients know it by its fingerprint.
                if let running, case .unsaved = running.origin { return (running.identities, running.origin) }
                let unsaved = try UnsavedIdentity(commonName: name, dnsNames: dnsNames, ipAddresses: addresses, days: days)
                let tried = StateDirectory.candidates(choices.stateDirectory, environment: environment)
                return ([TLSIdentity(unsaved)], .unsaved(fingerprint: unsaved.certificate.sha256Fingerprint, tried: tried))
            }
            let made = try SelfSignedIdentity.ensure(
                directory: directory, name: name, dnsNames: dnsNames, ipAddresses: addresses, days: days)
            return ([try TLSIdentity(certificateFile: made.certificateFile, keyFile: made.keyFile)], .selfSigned(made))
        } catch {
            throw ConfigurationProblems([ConfigurationProblem("--state-directory", directory ?? "", sentence: "\(error)")])
        }
    }

    /// Tells the operator where the certificate comes from, and how to replace it.
    func report(to log: EventLog) {
        measureExpiry(log)
        for file in keyFiles where PrivateKey.isReadableByEveryone(file) {
            log.warning("key.readable", ["key": .string(file), "remedy": .string("protect it: chmod 600 \(file)")])
        }
        switch origin {
        case .given: break
        case .selfSigned(let made):
            log.info(
                "certificate.self_signed",
                [
                    "certificate": .string(made.certificateFile), "sha256": .string(made.fingerprint),
                    "made": .string(made.isNew ? "now" : "before"),
                    "message": .string(
                        "Clients will ask whether they trust it; have \(made.requestFile) signed, or name your own with --cert and --key."
                    ),
                ])
        case .unsaved(let fingerprint, let tried):
            log.warning(
                "certificate.in_memory",
                [
                    "sha256": .string(fingerprint), "tried": .string(tried.joined(separator: " ")),
                    "message":
                        "The certificate is lost at the end, since no folder can be written to: name one with --state-directory, or a certificate with --cert and --key.",
                ])
        }
    }

    /// A gauge for each certificate, and a warning where time runs out.
    func measureExpiry(_ log: EventLog) {
        log.metrics.removeAll(of: .certificateExpiry)
        for identity in identities {
            log.metrics.set(.certificateExpiry, ["certificate": identity.certificateFile], to: Int(identity.leaf.notAfter))
            if identity.leaf.mustStaple, !identity.isStapled, !fetchesStaples {
                log.warning(
                    "certificate.must_staple",
                    [
                        "certificate": .string(identity.certificateFile),
                        "remedy": .string(
                            "clients refuse it without an OCSP response: put one into \(identity.certificateFile).ocsp, or add --ocsp-fetch"
                        ),
                    ])
            }
            let daysLeft = (identity.leaf.notAfter - WallClock.now) / 86_400
            guard daysLeft < Self.daysToWarn else { continue }
            log.warning(
                identity.leaf.notAfter < WallClock.now ? "certificate.expired" : "certificate.expires_soon",
                [
                    "certificate": .string(identity.certificateFile), "days": .integer(Int(daysLeft)),
                    "remedy": "put a new one in its place; it is taken up by itself",
                ])
        }
    }

    private static let daysToWarn = 14
}

/// Every mistake at once.
struct ConfigurationProblems: Error {
    let problems: [ConfigurationProblem]
    init(_ problems: [ConfigurationProblem]) { self.problems = problems }
}

extension Choices {
    /// Files besides the keys whose contents are for nobody else's eyes.
    fileprivate var secretFiles: [String] { [ticketKeysFile, ticketSecretFile, keyPassphrases.file].compactMap { $0 } }

    /// The addresses of this machine that the settings name.
    fileprivate var ownAddresses: [IPAddress] {
        var addresses = listeners.compactMap(\.host)
        if case .fixed(let address) = passiveAddress.source { addresses.append(address) }
        return addresses.filter { !$0.isUnspecified }
    }
}
