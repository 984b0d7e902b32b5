import COpenSSL

/// The BIO through which OpenSSL reads and writes the records of one thread's connections, and from which its callbacks learn
/// whose they are.
///
/// One for all of them: it belongs to the connection that OpenSSL is called for at this moment, and a BIO and a pointer for each
/// would be 300 bytes of an idle session. Freed when the last of them is gone.
public final class RecordBIO {
    let pointer: OpaquePointer  // BIO *

    public init() {
        guard let bio = BIO_new(Self.method) else { preconditionFailure("OpenSSL is out of memory") }
        BIO_set_init(bio, 1)
        pointer = bio
    }

    deinit { BIO_free(pointer) }

    /// To be called before whatever may read, write or call back for the connection.
    func belong(to connection: TLSConnection) { BIO_set_data(pointer, Unmanaged.passUnretained(connection).toOpaque()) }

    static func connection(_ bio: OpaquePointer) -> TLSConnection? {
        BIO_get_data(bio).map { Unmanaged<TLSConnection>.fromOpaque($0).takeUnretainedValue() }
    }

    /// BIO_METHOD *, made once and never changed.
    nonisolated(unsafe) private static let method: OpaquePointer = {
        guard let method = BIO_meth_new(BIO_get_new_index() | Int32(BIO_TYPE_SOURCE_SINK), "records") else {
            preconditionFailure("OpenSSL is out of memory")
        }
        BIO_meth_set_read(method) { bio, buffer, count in
            guard let bio, let buffer, let connection = RecordBIO.connection(bio) else { return -1 }
            shim_BIO_clear_retry_flags(bio)
            switch connection.readRecords(UnsafeMutableRawBufferPointer(start: buffer, count: Int(count))) {
            case .bytes(let count): return Int32(count)
            case .endOfStream: return 0
            case .failed: return -1
            case .wouldBlock:
                shim_BIO_set_retry_read(bio)
                return -1
            }
        }
        BIO_meth_set_write(method) { bio, buffer, count in
            guard let bio, let buffer, let connection = RecordBIO.connection(bio) else { return -1 }
            shim_BIO_clear_retry_flags(bio)
            switch connection.writeRecords(UnsafeRawBufferPointer(start: buffer, count: Int(count))) {
            case .bytes(let count): return Int32(count)
            case .endOfStream, .failed: return -1
            case .wouldBlock:
                shim_BIO_set_retry_write(bio)
                return -1
            }
        }
        BIO_meth_set_ctrl(method) { bio, command, number, argument in
            switch command {
            case BIO_CTRL_FLUSH: 1
            // Without it OpenSSL takes a FIN for a retry.
            case BIO_CTRL_EOF: bio.flatMap { RecordBIO.connection($0) }?.hasEnded == true ? 1 : 0
            case shim_BIO_CTRL_SET_KTLS:
                // Always refused: the connection keeps a copy, and may move into the kernel later.
                bio.flatMap { RecordBIO.connection($0) }?.keepKeys(argument, areForSending: number != 0) ?? 0
            default: 0
            }
        }
        return method
    }()
}
