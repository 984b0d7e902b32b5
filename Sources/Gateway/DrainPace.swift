import NetIO

/// How long a session may be idle before it is told to go, while the gateway is on its way to its end.
///
/// A client that is at work has its next command out within a moment, and may begin transfers for as long as that; the last
/// quarter of the time is kept for what runs then to finish. Clients connect again as soon as they are told to go, so that many
/// are told one after the other.
struct DrainPace: Sendable, Equatable {
    /// On the clock of the loops.
    let began: Duration
    /// `--drain-timeout`; zero means without end.
    let limit: Duration
    /// Sessions that have to be told.
    let sessions: Int

    /// Longer than between 227 and RETR over a satellite.
    private static let longestGrace: Duration = .seconds(1)
    private static let perSession: Duration = .milliseconds(2)
    private static let none: Duration = .milliseconds(1)

    func grace(at now: Duration, _ random: any RandomSource) -> Duration {
        let quarter = limit > .zero ? limit / 4 : .seconds(3600)
        if limit > .zero, now - began > quarter * 3 { return Self.none }
        let spread = min(Self.perSession * sessions, quarter)
        let share = spread * random.number(below: 1000) / 1000
        return max(Self.none, min(Self.longestGrace, quarter) + share)
    }
}
