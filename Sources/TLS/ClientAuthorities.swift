import COpenSSL
import Glibc
import PKI

/// The trusted authorities database: who may have signed a client's certificate.
struct ClientAuthorities {
    private let certificates: [Certificate]

    /// - Parameter path: a PEM file, or a folder whose `.crt` and `.pem` files are all read.
    init(path: String) throws(TLSConfigurationError) {
        var found: [Certificate] = []
        do throws(PKIError) {
            for file in Self.files(path) { found += try Certificate.readAll(file: file) }
        } catch {
            throw TLSConfigurationError("--client-ca: \(error)")
        }
        guard !found.isEmpty else {
            throw TLSConfigurationError("--client-ca: \(path) holds no certificate of an authority; put its .crt file there.")
        }
        certificates = found
    }

    private static func files(_ path: String) -> [String] {
        guard let folder = opendir(path) else { return [path] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if !name.hasPrefix("."), name.hasSuffix(".crt") || name.hasSuffix(".pem") { names.append("\(path)/\(name)") }
        }
        return names.sorted()
    }

    func install(on context: OpaquePointer, _ choice: TLSPolicy.ClientCertificate) {
        guard let store = X509_STORE_new() else { preconditionFailure("OpenSSL is out of memory") }
        defer { X509_STORE_free(store) }
        for certificate in certificates {
            guard let handle = try? X509Handle(der: certificate.der) else { continue }
            X509_STORE_add_cert(store, handle.pointer)
            // The names go to the client, which chooses its certificate by them.
            SSL_CTX_add_client_CA(context, handle.pointer)
        }
        shim_SSL_CTX_set1_verify_cert_store(context, store)
        let mode = if case .require = choice { SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT } else { SSL_VERIFY_PEER }
        SSL_CTX_set_verify(context, mode, nil)
    }
}
