import COpenSSL

/// A BIO over memory, for reading and writing PEM; freed with the value that owns it.
final class MemoryBIO {
    let pointer: OpaquePointer  // BIO *

    /// An empty one, to be written into.
    init() {
        guard let pointer = BIO_new(BIO_s_mem()) else { preconditionFailure("OpenSSL is out of memory") }
        self.pointer = pointer
    }

    /// One that holds a copy of these bytes.
    convenience init(_ bytes: [UInt8]) {
        self.init()
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { BIO_write(pointer, $0.baseAddress, Int32(clamping: $0.count)) }
            precondition(count > 0, "a BIO over memory takes all bytes")
            rest = rest.dropFirst(Int(count))
        }
    }

    /// Cleanses what it held: the BIO's memory is cleared when freed.
    deinit { BIO_free(pointer) }

    /// What was written and not yet read.
    var bytes: [UInt8] {
        var start: UnsafeMutablePointer<CChar>?
        let count = shim_BIO_get_mem_data(pointer, &start)
        return Array(UnsafeRawBufferPointer(start: start, count: count))
    }

    var text: String { String(decoding: bytes, as: UTF8.self) }
}
