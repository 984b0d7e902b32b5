import Glibc

/// A system call's failure: what was being done, and the kernel's number for why not.
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    public let operation: String
    public let code: Int32

    /// - Parameter code: `errno` as it is now, where none is given.
    public init(_ operation: String, code: Int32? = nil) {
        self.code = code ?? errno
        self.operation = operation
    }

    public var description: String { "\(operation): \(Self.text(code))" }

    /// The kernel's words for a number.
    public static func text(_ code: Int32) -> String {
        String(cString: strerror(code))
    }

    public static let addressInUse = EADDRINUSE
    public static let connectionRefused = ECONNREFUSED
    public static let brokenPipe = EPIPE
    public static let permissionDenied = EACCES
    public static let addressFamilyUnsupported = EAFNOSUPPORT
    public static let outOfDescriptors = [EMFILE, ENFILE, ENOBUFS, ENOMEM]
}
