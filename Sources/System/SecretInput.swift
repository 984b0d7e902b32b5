import Glibc

/// Where secrets come from that stand in no flag, since every user of a machine can read its processes' flags.
public enum SecretInput {
    /// Asks at the terminal without showing what is typed; nil where there is no terminal, or the answer is broken off.
    public static func ask(_ prompt: String) -> [UInt8]? {
        let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC)
        guard terminal >= 0 else { return nil }
        defer { close(terminal) }
        var before = termios()
        guard tcgetattr(terminal, &before) == 0 else { return nil }
        var silent = before
        silent.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(terminal, TCSAFLUSH, &silent)
        defer { tcsetattr(terminal, TCSAFLUSH, &before) }
        write(terminal, Array(prompt.utf8))
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while read(terminal, &byte, 1) == 1, byte != 10 { bytes.append(byte) }
        write(terminal, [10])
        return byte == 10 ? bytes : nil
    }

    /// The first line that a command prints; nil where it fails.
    public static func run(_ command: String) -> [UInt8]? {
        guard let stream = popen(command, "re") else { return nil }
        var bytes: [UInt8] = []
        while bytes.count < 4096 {
            let byte = fgetc(stream)
            if byte == EOF || byte == 10 { break }
            bytes.append(UInt8(truncatingIfNeeded: byte))
        }
        guard pclose(stream) == 0, !bytes.isEmpty else { return nil }
        return bytes
    }

    private static func write(_ descriptor: Int32, _ bytes: [UInt8]) { _ = Glibc.write(descriptor, bytes, bytes.count) }
}
