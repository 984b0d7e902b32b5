import Synchronization

/// Hands a value over to the one who uses it, and keeps nothing: what a function holds for as long as it runs would otherwise
/// outlive what takes its place, such as the first configuration with its private keys.
public final class OneUse<Value: Sendable>: Sendable {
    private let value: Mutex<Value?>

    public init(_ value: Value) { self.value = Mutex(value) }

    public func take() -> Value {
        guard let taken = value.withLock({ $0.take() }) else { preconditionFailure("it was taken before") }
        return taken
    }
}
