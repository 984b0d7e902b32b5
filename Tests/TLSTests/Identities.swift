import PKI
import TLS
import TestSupport

/// Certificates and keys made for one test.
final class Identities {
    let folder = TemporaryFolder()

    func make(_ name: String, names: [String]? = nil, _ kind: PrivateKey.Kind = .p256) throws -> TLSIdentity {
        let key = try PrivateKey.make(kind)
        let profile = try CertificateProfile(commonName: name, dnsNames: names ?? [name], ipAddresses: [])
        try key.write(to: folder.file("\(name).key"))
        try Certificate.selfSigned(key: key, profile: profile, days: 1).write(to: folder.file("\(name).crt"))
        return try TLSIdentity(certificateFile: folder.file("\(name).crt"), keyFile: folder.file("\(name).key"))
    }
}

func makeContext(_ change: (inout TLSPolicy) -> Void = { _ in }) throws -> TLSContext {
    var policy = TLSPolicy()
    change(&policy)
    return try TLSContext(policy: policy, identities: [Identities().make("ftps.example.com")])
}
