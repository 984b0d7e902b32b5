/// Who has to be asked about a TLS session: a worker, and with more than one replica the replica as well.
///
/// It stands in clear where a ClientHello shows it before any handshake: bytes 12 to 15 of a ticket's key name (the first 16
/// bytes of a ticket: the session ticket extension in TLS 1.2, the identity in pre_shared_key in TLS 1.3), and bytes 12 to 15 of
/// a TLS 1.2 session id. So whoever accepts a data connection can hand it to its owner unread. It is a hint and no proof: the
/// proof is the `SessionTag` inside.
public struct SessionOwner: Hashable, Sendable {
    /// What the gateway numbers its workers by.
    public let rawValue: UInt32

    public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    /// Where it stands, in a key name and in a session id alike.
    static let place = 12..<16

    /// From the first bytes of a ticket, or a whole TLS 1.2 session id; nil where there are too few.
    public init?(in bytes: some Collection<UInt8>) {
        guard bytes.count >= Self.place.upperBound else { return nil }
        rawValue = bytes.dropFirst(Self.place.lowerBound).prefix(Self.place.count).reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Most significant first.
    var bytes: [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: rawValue >> $0) } }
}
