import CLinux

/// Whether this kernel encrypts for its sockets (the module `tls`).
public enum KernelTLS {
    /// Asks the kernel; a process that may load modules has it load this one.
    /// - Returns: nil where it does, else why not.
    public static func absence() -> SystemError? {
        let code = ftpsgate_find_kernel_tls()
        return code == 0 ? nil : SystemError("TCP_ULP \"tls\"", code: code)
    }
}
