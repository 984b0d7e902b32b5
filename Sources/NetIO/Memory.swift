import CLinux

/// The process's memory.
public enum Memory {
    /// Gives what is free back to the kernel: after thousands of sessions that is most of it.
    public static func trim() { ftpsgate_trim_memory() }
}
