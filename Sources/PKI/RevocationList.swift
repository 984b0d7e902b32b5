import COpenSSL

/// A list of revoked certificates (CRL) as a plain value.
public struct RevocationList: Sendable, Hashable {
    public let der: [UInt8]
    /// RFC 2253.
    public let issuer: String
    /// Seconds since 1970.
    public let thisUpdate: Int64
    /// Seconds since 1970; nil where the list does not say.
    public let nextUpdate: Int64?
    /// Upper-case hexadecimal.
    public let serials: [String]

    /// All lists in a file, PEM or one in DER; at least one.
    public static func readAll(file: String) throws(PKIError) -> [RevocationList] {
        try readAll(bytes: try File.read(file), file: file)
    }

    /// - Parameter file: the name that an error tells.
    static func readAll(bytes: [UInt8], file: String) throws(PKIError) -> [RevocationList] {
        let bio = MemoryBIO(bytes)
        ERR_clear_error()
        defer { ERR_clear_error() }
        if bytes.first == 0x30 {
            guard let pointer = d2i_X509_CRL_bio(bio.pointer, nil) else { throw .noRevocationList(file: file) }
            return [try RevocationList(CRLHandle(owning: pointer))]
        }
        var lists: [RevocationList] = []
        while let pointer = PEM_read_bio_X509_CRL(bio.pointer, nil, nil, nil) {
            lists.append(try RevocationList(CRLHandle(owning: pointer)))
        }
        guard !lists.isEmpty else { throw .noRevocationList(file: file) }
        return lists
    }

    public var pem: String {
        guard let handle = try? CRLHandle(der: der) else { preconditionFailure("these bytes were a list before") }
        let bio = MemoryBIO()
        precondition(PEM_write_bio_X509_CRL(bio.pointer, handle.pointer) == 1, "a list can be written to memory")
        return bio.text
    }

    public func write(to path: String) throws(PKIError) {
        try File.write(Array(pem.utf8), to: path, mode: 0o644)
    }

    /// Whether this authority has signed it.
    public func isSigned(by authority: Certificate) -> Bool {
        defer { ERR_clear_error() }
        guard let list = try? CRLHandle(der: der), let handle = try? X509Handle(der: authority.der) else { return false }
        return X509_CRL_verify(list.pointer, X509_get0_pubkey(handle.pointer)) == 1
    }

    init(_ handle: CRLHandle) throws(PKIError) {
        let crl = handle.pointer
        let count = i2d_X509_CRL(crl, nil)
        guard count > 0 else { throw .fromLibrary() }
        der = [UInt8](unsafeUninitializedCapacity: Int(count)) { buffer, used in
            var start = buffer.baseAddress
            used = Int(i2d_X509_CRL(crl, &start))
        }
        issuer = text(of: X509_CRL_get_issuer(crl))
        guard let from = seconds(X509_CRL_get0_lastUpdate(crl)) else { throw .library("a list's dates cannot be read") }
        thisUpdate = from
        nextUpdate = X509_CRL_get0_nextUpdate(crl).flatMap { seconds($0) }
        let entries = X509_CRL_get_REVOKED(crl)
        serials = (0..<max(0, entries == nil ? 0 : OPENSSL_sk_num(entries))).map { index in
            serialText(X509_REVOKED_get0_serialNumber(OPENSSL_sk_value(entries, index).map { OpaquePointer($0) }))
        }
    }
}

/// Owns one reference to an `X509_CRL`.
package final class CRLHandle {
    package let pointer: OpaquePointer  // X509_CRL *

    init(owning pointer: OpaquePointer) { self.pointer = pointer }

    package convenience init(der: [UInt8]) throws(PKIError) {
        let pointer = der.withUnsafeBufferPointer { bytes in
            var start = bytes.baseAddress
            return d2i_X509_CRL(nil, &start, bytes.count)
        }
        guard let pointer else { throw .fromLibrary() }
        self.init(owning: pointer)
    }

    deinit { X509_CRL_free(pointer) }
}

/// What an authority has revoked so far, in a text file beside its certificate: a line for each, "SERIAL SECONDS REASON".
public struct RevocationRecord {
    public private(set) var revocations: [Revocation]
    private let file: String

    /// A missing file is an empty record.
    public init(file: String) throws(PKIError) {
        self.file = file
        revocations = []
        guard File.exists(file) else { return }
        let text = String(decoding: try File.read(file), as: UTF8.self)
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() where !line.isEmpty {
            let words = line.split(separator: " ")
            guard words.count == 3, let date = Int64(words[1]), let reason = Revocation.Reason(rawValue: String(words[2])),
                words[0].allSatisfy(\.isHexDigit)
            else { throw .damagedRecord(file: file, line: index + 1) }
            revocations.append(Revocation(serial: String(words[0]), date: date, reason: reason))
        }
    }

    /// - Returns: false where the serial number stands there already.
    public mutating func add(_ revocation: Revocation) throws(PKIError) -> Bool {
        guard !revocations.contains(where: { $0.serial == revocation.serial }) else { return false }
        revocations.append(revocation)
        let text = revocations.map { "\($0.serial) \($0.date) \($0.reason.rawValue)\n" }.joined()
        try File.write(Array(text.utf8), to: file, mode: 0o644)
        return true
    }
}
