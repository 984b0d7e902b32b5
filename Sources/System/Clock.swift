import Glibc

/// The system's clock.
public enum Clock {
    /// Since 1970, rounded down.
    public static var seconds: Int64 { Int64(time(nil)) }
}
