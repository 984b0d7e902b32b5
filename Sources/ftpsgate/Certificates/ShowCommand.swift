import ArgumentParser
import PKI
import System

/// `ftpsgate cert show`: what a file is, in plain words.
struct ShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Say in plain words what a file is, for whom, until when, and what is wrong with it.",
        discussion:
            "Takes certificates, requests, keys, PKCS #12 bundles and lists of revoked certificates, in PEM and DER. A private key is never printed."
    )

    @Argument(help: "The files.")
    var files: [String]
    @OptionGroup var passphrases: PassphraseOptions

    func validate() throws {
        if files.isEmpty { throw ValidationError("Name a file.") }
    }

    func run() throws {
        try CertCommand.telling { () throws(PKIError) in
            for file in files {
                for item in try FileContents.read(file, passphrase: passphrases.source) { try show(item, file) }
            }
        }
    }

    private func show(_ item: FileContents.Item, _ file: String) throws(PKIError) {
        switch item {
        case .certificate(let certificate): Process.print(Self.text(about: certificate, file))
        case .request(let request): Process.print(Self.text(about: request, file))
        case .key(let key):
            Process.print("\(file): a private key\(key.map { ", \($0.text)" } ?? ", encrypted")")
            if PrivateKey.isReadableByEveryone(file) { Process.print("  wrong: \(PKIError.readableKey(file: file))") }
        case .revocationList(let list): Process.print(Self.text(about: list, file))
        case .bundle:
            let bundle = try KeyBundle(file: file, passphrase: passphrases.source)
            Process.print(
                "\(file): a PKCS #12 bundle of a private key (\(bundle.key.text)) and \(counted(bundle.chain.count, "certificate"))"
            )
            for certificate in bundle.chain { Process.print(Self.text(about: certificate, file)) }
        case .other(let label): Process.print("\(file): \(label.lowercased()) (nothing that ftpsgate uses)")
        }
    }

    static func text(about certificate: Certificate, _ file: String) -> String {
        let details = certificate.details
        let kind =
            switch (details.isAuthority, details.isSelfIssued) {
            case (true, true): "the certificate of an authority"
            case (true, false): "the certificate of an intermediate authority"
            case (false, true): "a self-signed certificate"
            case (false, false): "a certificate"
            }
        var lines = ["\(file): \(kind)", "  for           \(certificate.subject)"]
        let names = certificate.dnsNames + certificate.ipAddresses + details.emails + details.uris
        if !names.isEmpty { lines.append("  names         \(names.joined(separator: ", "))") }
        lines.append("  signed by     \(details.isSelfIssued ? "itself" : details.issuer)")
        lines.append("  valid         \(dateText(certificate.notBefore)) to \(dateText(certificate.notAfter))")
        lines.append("  used as       \(use(details))")
        lines.append("  key           \(details.key), signature \(details.signatureAlgorithm)")
        lines.append("  serial        \(details.serial)")
        lines.append("  SHA-256       \(certificate.sha256Fingerprint)")
        lines.append("  key SHA-256   \(details.keyFingerprint)")
        lines.append("  SHA-1         \(details.sha1Fingerprint)")
        lines += Finding.about(certificate).map { "  \($0.severity == .wrong ? "wrong" : "warning"): \($0.text)" }
        return lines.joined(separator: "\n")
    }

    private static func use(_ details: Certificate.Details) -> String {
        var uses =
            details.purposes.map { purposes in Certificate.Purpose.allCases.filter(purposes.contains).map(\.rawValue) } ?? [
                "anything"
            ]
        if details.isAuthority {
            let limit = details.pathLength.map { ", at most \($0) below" } ?? ""
            if details.purposes == nil { uses = [] }
            uses.append("authority\(limit)")
        }
        return uses.isEmpty ? "nothing that ftpsgate knows" : uses.joined(separator: ", ")
    }

    private static func text(about request: CertificateRequest, _ file: String) -> String {
        let wishes = request.wishes
        var lines = ["\(file): a certificate signing request", "  for           \(request.subject)"]
        let names = wishes.dnsNames + wishes.ipAddresses + wishes.emails + wishes.uris
        if !names.isEmpty { lines.append("  names         \(names.joined(separator: ", "))") }
        let uses =
            Certificate.Purpose.allCases.filter(wishes.purposes.contains).map(\.rawValue)
            + (wishes.wantsAuthority ? ["authority"] : [])
        if !uses.isEmpty { lines.append("  asks for      \(uses.joined(separator: ", "))") }
        lines.append("  key           \(request.key)")
        if !request.isSignedByItsKey { lines.append("  wrong: \(PKIError.forgedRequest)") }
        return lines.joined(separator: "\n")
    }

    private static func text(about list: RevocationList, _ file: String) -> String {
        let lines =
            [
                "\(file): a list of revoked certificates", "  signed by     \(list.issuer)",
                "  made          \(dateText(list.thisUpdate))",
                "  next          \(list.nextUpdate.map(dateText) ?? "not said")", "  revoked       \(list.serials.count)",
            ] + list.serials.map { "                \($0)" }
        return lines.joined(separator: "\n")
    }
}
