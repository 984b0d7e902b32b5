import CLinux
import Glibc
import Synchronization

/// Where secrets come from that stand in no flag, since every user of a machine can read its processes' flags.
public enum SecretInput {
    /// Longer than any passphrase; keeps a wrong source from filling the memory.
    private static let limit = 4096

    /// Asks at the terminal without showing what is typed; nil where there is no terminal, or the answer is broken off.
    ///
    /// Ctrl-C ends the program as ever, but not before the terminal shows again what is typed.
    public static func ask(_ prompt: String) -> [UInt8]? {
        let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC)
        guard terminal >= 0 else { return nil }
        defer { close(terminal) }
        var before = termios()
        guard tcgetattr(terminal, &before) == 0 else { return nil }
        var silent = before
        silent.c_lflag &= ~tcflag_t(ECHO)
        caught.store(0, ordering: .relaxed)
        let bell = ftpsgate_eventfd()
        guard bell >= 0 else { return nil }
        defer { close(bell) }
        Self.bell.store(bell, ordering: .relaxed)
        let actions = endings.map { ($0, catchSignal($0)) }
        tcsetattr(terminal, TCSAFLUSH, &silent)
        write(terminal, Array(prompt.utf8))
        let answer = line(at: terminal, unless: bell)
        write(terminal, [10])
        tcsetattr(terminal, TCSAFLUSH, &before)
        for (signal, action) in actions {
            var action = action
            sigaction(signal, &action, nil)
        }
        let signal = caught.load(ordering: .relaxed)
        if signal != 0 { raise(signal) }
        return answer
    }

    /// What ends a program that waits at a terminal.
    private static let endings = [SIGINT, SIGTERM, SIGHUP, SIGQUIT]
    private static let caught = Atomic<Int32>(0)
    /// An eventfd: a signal that comes before read(2) would not break it off.
    private static let bell = Atomic<Int32>(-1)

    /// Only notes the signal, and rings the bell.
    /// - Returns: what was done about it before.
    private static func catchSignal(_ signal: Int32) -> sigaction {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = {
            SecretInput.caught.store($0, ordering: .relaxed)
            var one: UInt64 = 1
            _ = Glibc.write(SecretInput.bell.load(ordering: .relaxed), &one, MemoryLayout<UInt64>.size)
        }
        var before = sigaction()
        sigaction(signal, &action, &before)
        return before
    }

    /// The first line that a command prints; nil where it fails.
    public static func run(_ command: String) -> [UInt8]? {
        guard let stream = popen(command, "re") else { return nil }
        var bytes: [UInt8] = []
        while bytes.count < limit {
            let byte = fgetc(stream)
            if byte == EOF || byte == 10 { break }
            bytes.append(UInt8(truncatingIfNeeded: byte))
        }
        guard pclose(stream) == 0, !bytes.isEmpty else { return nil }
        return withoutReturn(bytes)
    }

    /// The first line from an open descriptor, which is read once and remembered: a pipe says it only once.
    /// - Returns: nil where it is not open, or nothing comes.
    public static func line(from descriptor: Int32) -> [UInt8]? {
        known.withLock { known in
            if let line = known[descriptor] { return line }
            guard let line = line(at: descriptor), !line.isEmpty else { return nil }
            known[descriptor] = line
            return line
        }
    }

    private static let known = Mutex<[Int32: [UInt8]]>([:])

    /// The first line of a text; Windows' line ends count as well.
    public static func firstLine(of bytes: [UInt8]) -> [UInt8] {
        withoutReturn(Array(bytes.prefix { $0 != 10 }))
    }

    private static func withoutReturn(_ line: [UInt8]) -> [UInt8] { line.last == 13 ? line.dropLast() : line }

    /// - Parameter bell: breaks off the waiting once it can be read.
    /// - Returns: nil where reading fails or is broken off, or the line is too long.
    private static func line(at descriptor: Int32, unless bell: Int32? = nil) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(limit)
        var byte: UInt8 = 0
        while bytes.count < limit {
            if let bell, !waits(for: descriptor, unless: bell) { return nil }
            let count = read(descriptor, &byte, 1)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            if count == 0 { return bytes.isEmpty ? nil : withoutReturn(bytes) }
            if byte == 10 { return withoutReturn(bytes) }
            bytes.append(byte)
        }
        return nil
    }

    /// - Returns: false where the bell rings first.
    private static func waits(for descriptor: Int32, unless bell: Int32) -> Bool {
        var watched = [descriptor, bell].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        while poll(&watched, 2, -1) < 0 { guard errno == EINTR else { return false } }
        return watched[1].revents == 0
    }

    private static func write(_ descriptor: Int32, _ bytes: [UInt8]) { _ = Glibc.write(descriptor, bytes, bytes.count) }
}
