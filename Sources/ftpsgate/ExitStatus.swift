import ArgumentParser

/// What the process ends with (DESIGN 3.10).
enum ExitStatus {
    /// Failed while running, or drained by force.
    static let failed = ExitCode(1)
    /// Wrong usage or configuration (EX_USAGE).
    static let misconfigured = ExitCode(64)
}
