import Glibc

/// A secret in memory of its own, which is overwritten when the last user lets go of it.
public final class SecretBytes: @unchecked Sendable, Equatable {  // never changed after init
    private let start: UnsafeMutableBufferPointer<UInt8>

    public init(_ bytes: some Collection<UInt8>) {
        start = .allocate(capacity: bytes.count)
        _ = start.initialize(from: bytes)
    }

    deinit {
        if let address = start.baseAddress { explicit_bzero(address, start.count) }
        start.deallocate()
    }

    public var count: Int { start.count }

    /// Valid as long as the secret.
    package var bytes: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start) }

    public static func == (left: SecretBytes, right: SecretBytes) -> Bool { left.bytes.elementsEqual(right.bytes) }
}
