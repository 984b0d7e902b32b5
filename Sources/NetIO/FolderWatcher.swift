import CLinux
import Glibc

/// Says when something in one of some folders may have changed. Folders and not files are watched: certificates are replaced by
/// renaming, and Kubernetes swaps a link beside them.
public final class FolderWatcher {
    private let descriptor: Int32  // inotify
    private var watcher: Watcher?

    /// - Parameter folders: those that are not there are left out.
    /// - Throws: when the kernel grants no more watchers.
    public init(_ folders: some Sequence<String>, loop: EventLoop, _ onChange: @escaping () -> Void) throws(SystemError) {
        descriptor = ftpsgate_inotify()
        guard descriptor >= 0 else { throw SystemError("inotify") }
        for folder in folders { _ = ftpsgate_inotify_watch(descriptor, folder) }
        watcher = Watcher(descriptor: descriptor, loop: loop, trigger: .level, [.read]) { [descriptor] _ in
            Self.drain(descriptor)
            onChange()
        }
    }

    deinit {
        watcher = nil
        close(descriptor)
    }

    /// What exactly happened is of no interest: the files are read again.
    private static func drain(_ descriptor: Int32) {
        withUnsafeTemporaryAllocation(byteCount: 16 * 1024, alignment: 8) { buffer in
            while read(descriptor, buffer.baseAddress, buffer.count) > 0 {}
        }
    }
}
