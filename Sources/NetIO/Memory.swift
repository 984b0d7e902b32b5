import CLinux

/// The process's memory.
public enum Memory {
    /// Gives what is free back to the kernel: after thousands of sessions that is most of it.
    public static func trim() { ftpsgate_trim_memory() }

    /// Gives the memory of an area back whose contents nobody needs any more; it is zero when it is used again.
    public static func release(_ area: UnsafeMutableRawBufferPointer) { ftpsgate_release_pages(area.baseAddress, area.count) }

    /// Lets go of code that only the start needed: what is needed again comes back from the page cache.
    public static func releaseStartUp() {
        ftpsgate_release_code()
        trim()
    }
}
