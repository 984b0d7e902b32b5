import COpenSSL

/// What the kernel does with a connection's keys, in a test: TLS records around clear bytes (RFC 8446 section 5.2, RFC 5288,
/// RFC 7905). Made from linux/tls.h and the RFCs, and from nothing of the gateway's.
public final class RecordMaker {
    private let isTLS13: Bool
    private let cipher: UInt16
    private let key: [UInt8]
    /// Twelve bytes, the salt in front.
    private let nonce: [UInt8]
    /// Of TLS 1.2 with AES-GCM: goes with each record.
    private var explicitNonce: UInt64
    private var number: UInt64

    private static let chacha20: UInt16 = 54

    /// - Parameter keys: a structure of linux/tls.h.
    public init(_ keys: UnsafeRawBufferPointer) {
        let bytes = Array(keys)
        isTLS13 = bytes[0] == 4 && bytes[1] == 3
        precondition(isTLS13 || bytes[0] == 3 && bytes[1] == 3, "an unknown version")
        cipher = UInt16(bytes[2])
        let (nonceSize, keySize) = [51: (8, 16), 52: (8, 32), 54: (12, 32)][cipher]!
        let iv = Array(bytes[4..<4 + nonceSize])
        key = Array(bytes[4 + nonceSize..<4 + nonceSize + keySize])
        let salt = Array(bytes[(4 + nonceSize + keySize)...].prefix(12 - nonceSize))
        nonce = salt + iv
        explicitNonce = Self.number(iv.suffix(8))
        number = Self.number(bytes.suffix(8))
        precondition(bytes.count == 4 + 12 + keySize + 8, "a structure of another size")
    }

    /// One record.
    public func record(_ type: UInt8, _ payload: some Collection<UInt8>) -> [UInt8] {
        defer {
            number += 1
            explicitNonce += 1
        }
        var (content, nonce, visible) = (Array(payload), nonce, [UInt8]())
        if isTLS13 {
            content.append(type)
        } else if cipher != Self.chacha20 {
            visible = Self.bytes(explicitNonce)
            nonce.replaceSubrange(4..., with: visible)
        }
        if isTLS13 || cipher == Self.chacha20 {
            for (index, byte) in Self.bytes(number).enumerated() { nonce[4 + index] ^= byte }
        }
        let outerType = isTLS13 ? 23 : type
        let size = visible.count + content.count + 16
        let header = [outerType, 3, 3, UInt8(size >> 8), UInt8(size & 0xff)]
        let associated =
            isTLS13 ? header : Self.bytes(number) + [type, 3, 3, UInt8(content.count >> 8), UInt8(content.count & 0xff)]
        return header + visible + seal(content, nonce, associated)
    }

    private func seal(_ content: [UInt8], _ nonce: [UInt8], _ associated: [UInt8]) -> [UInt8] {
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        let algorithm = [51: EVP_aes_128_gcm(), 52: EVP_aes_256_gcm(), 54: EVP_chacha20_poly1305()][cipher]!
        var sealed = [UInt8](repeating: 0, count: content.count + 16)
        var (count, tag) = (Int32(0), [UInt8](repeating: 0, count: 16))
        precondition(EVP_EncryptInit_ex(context, algorithm, nil, key, nonce) == 1)
        precondition(EVP_EncryptUpdate(context, nil, &count, associated, Int32(associated.count)) == 1)
        precondition(EVP_EncryptUpdate(context, &sealed, &count, content, Int32(content.count)) == 1)
        precondition(EVP_EncryptFinal_ex(context, &tag, &count) == 1)
        precondition(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, &tag) == 1)
        sealed.replaceSubrange(content.count..., with: tag)
        return sealed
    }

    private static func number(_ bytes: some Collection<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    private static func bytes(_ number: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) } }
}
