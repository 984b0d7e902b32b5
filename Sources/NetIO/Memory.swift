import CLinux

/// The process's memory.
public enum Memory {
    /// Gives what is free back to the kernel: after thousands of sessions that is most of it.
    public static func trim() { ftpsgate_trim_memory() }

    /// Lets go of code that only the start needed: what is needed again comes back from the page cache.
    public static func releaseStartUp() {
        ftpsgate_release_code()
        trim()
    }
}
