/// How many sessions may begin in a second (`--max-handshake-rate`): each begins with a TLS handshake, the dearest thing that a
/// stranger can ask for. A token bucket that holds a tenth of a second.
struct AcceptPace {
    /// Sessions a second; zero: as many as come.
    private var rate: Double
    private var tokens: Double
    private var filled: Duration

    init(perSecond rate: Int, now: Duration) {
        self.rate = Double(rate)
        tokens = 1
        filled = now
    }

    private var size: Double { max(1, rate / 10) }

    /// Goes on at another rate.
    mutating func use(perSecond rate: Int, at now: Duration) {
        fill(at: now)
        self.rate = Double(rate)
    }

    private mutating func fill(at now: Duration) {
        tokens = min(size, tokens + (now - filled) / .seconds(1) * rate)
        filled = now
    }

    /// Nil where a session may begin now; else how long it has to wait.
    mutating func delay(at now: Duration) -> Duration? {
        guard rate > 0 else { return nil }
        fill(at: now)
        return tokens >= 1 ? nil : .seconds(1) * ((1 - tokens) / rate)
    }

    /// A session begins.
    mutating func take() { if rate > 0 { tokens -= 1 } }
}
