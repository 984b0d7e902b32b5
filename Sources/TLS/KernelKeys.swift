import COpenSSL

/// The keys of one direction as Linux takes them, with the count of records that they have protected (linux/tls.h: `struct
/// tls12_crypto_info_aes_gcm_128` and its like). They are wiped when they go.
///
/// libssl fills the structure in when it changes keys, and offers it to its BIO. What is in it is the kernel's interface: version,
/// cipher, then IV, key, salt, and the number of the next record at the end.
final class KernelKeys {
    private let bytes: UnsafeMutableRawBufferPointer
    private let layout: Layout
    /// What has been made with them.
    var records = RecordBoundary()

    /// What differs from cipher to cipher.
    private struct Layout {
        let size: Int
        /// Where TLS 1.2 sends a number with each record, which goes up with it, and where it is.
        let explicitNonce: Range<Int>?

        /// - Parameters:
        ///   - cipher: as linux/tls.h numbers them.
        init?(version: UInt16, cipher: UInt16) {
            switch (version, cipher) {
            case (0x0303, 51): (size, explicitNonce) = (40, 4..<12)
            case (0x0303, 52): (size, explicitNonce) = (56, 4..<12)
            case (0x0304, 51): (size, explicitNonce) = (40, nil)
            case (0x0304, 52), (0x0303, 54), (0x0304, 54): (size, explicitNonce) = (56, nil)
            default: return nil
            }
        }
    }

    /// - Parameter structure: is copied.
    /// - Returns: nil for a version or a cipher that is none of ours.
    init?(_ structure: UnsafeRawPointer) {
        let version = structure.loadUnaligned(as: UInt16.self)
        let cipher = structure.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
        guard let layout = Layout(version: version, cipher: cipher) else { return nil }
        self.layout = layout
        bytes = .allocate(byteCount: layout.size, alignment: 8)
        bytes.copyMemory(from: UnsafeRawBufferPointer(start: structure, count: layout.size))
    }

    deinit {
        OPENSSL_cleanse(bytes.baseAddress, bytes.count)
        bytes.deallocate()
    }

    /// Hands out the structure as it is after so many records.
    func afterRecords(_ count: Int, _ body: (UnsafeRawBufferPointer) -> Bool) -> Bool {
        advance(layout.size - 8..<layout.size, by: count)
        if let nonce = layout.explicitNonce { advance(nonce, by: count) }
        return body(UnsafeRawBufferPointer(bytes))
    }

    /// Both are numbers of eight bytes, the first byte the highest.
    private func advance(_ place: Range<Int>, by count: Int) {
        let number = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: place.lowerBound, as: UInt64.self))
        bytes.storeBytes(of: (number &+ UInt64(count)).bigEndian, toByteOffset: place.lowerBound, as: UInt64.self)
    }
}
