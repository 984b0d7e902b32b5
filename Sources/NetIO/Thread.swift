import CLinux
import Glibc

/// A thread of the process, detached: it ends when its body does.
public enum Thread {
    private final class Start: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Runs `body` on a new thread that `ps` and `top` show under `name` (at most 15 bytes).
    public static func start(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
        var thread = pthread_t()
        let start = Unmanaged.passRetained(
            Start {
                ftpsgate_name_thread(name)
                body()
            })
        let code = pthread_create(
            &thread, nil,
            { context in
                Unmanaged<Start>.fromOpaque(context!).takeRetainedValue().body()
                return nil
            }, start.toOpaque())
        guard code == 0 else {
            start.release()
            throw SystemError("cannot start a thread", code: code)
        }
        pthread_detach(thread)
    }
}
