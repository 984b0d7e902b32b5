/// What a TLS client shows of the session that it wants to resume, in the clear and before any handshake (RFC 8446 section
/// 4.1.2, RFC 5246 section 7.4.1.2).
///
/// For whoever accepts a data connection and has to find out whose it is. It is a claim and no proof: the proof is the handshake.
public struct ClientHello: Equatable, Sendable {
    /// At most 32 bytes. In TLS 1.3, and beside a ticket, it is of the client's own making and names nothing.
    public let sessionID: [UInt8]
    /// The identities in pre_shared_key (RFC 8446 section 4.2.11), then the session ticket (RFC 5077 section 3.2); a few at most.
    public let tickets: [[UInt8]]

    public enum Reading: Equatable, Sendable {
        /// More bytes are needed; what is here may be the beginning of a ClientHello.
        case incomplete
        /// It is no TLS.
        case notTLS
        /// It is TLS and no ClientHello, or a broken or a huge one.
        case unreadable
        case whole(ClientHello)
    }

    /// Bytes that a ClientHello with its records may have to be looked into. Real ones stay under 2 KiB.
    public static let limit = 16 * 1024
    private static let identityLimit = 8

    /// Reads the first bytes of a connection.
    /// - Complexity: linear in `limit`, whatever comes.
    public static func read(_ bytes: [UInt8]) -> Reading {
        switch message(in: bytes[...]) {
        case .failure(let reading): reading
        case .success(let body): hello(in: body).map { .whole($0) } ?? .unreadable
        }
    }

    private enum Message {
        case success(ArraySlice<UInt8>)
        case failure(Reading)
    }

    /// The handshake message in the first records; it may lie in pieces.
    private static func message(in bytes: ArraySlice<UInt8>) -> Message {
        var rest = Cursor(bytes)
        var message: [UInt8] = []
        while true {
            // Content type 22 is handshake, the version's first byte has always been 3.
            guard let type = rest.byte() else { return .failure(bytes.count < limit ? .incomplete : .unreadable) }
            guard type == 22 else { return .failure(message.isEmpty ? .notTLS : .unreadable) }
            guard let major = rest.byte() else { return .failure(.incomplete) }
            guard major == 3 else { return .failure(message.isEmpty ? .notTLS : .unreadable) }
            guard rest.byte() != nil, let length = rest.number(bytes: 2) else { return .failure(.incomplete) }
            guard (1...16_384).contains(length) else { return .failure(.unreadable) }
            message += rest.upTo(length)
            // Handshake type 1 is ClientHello.
            if let first = message.first, first != 1 { return .failure(.unreadable) }
            if message.count >= 4 {
                let size = Int(message[1]) << 16 | Int(message[2]) << 8 | Int(message[3])
                if size > limit { return .failure(.unreadable) }
                if message.count >= 4 + size { return .success(message[4..<4 + size]) }
            }
            if rest.wasShort { return .failure(bytes.count < limit ? .incomplete : .unreadable) }
        }
    }

    private static func hello(in body: ArraySlice<UInt8>) -> ClientHello? {
        var rest = Cursor(body)
        // Version and random.
        guard rest.take(2 + 32) != nil, let sessionID = rest.vector(lengthBytes: 1), sessionID.count <= 32 else { return nil }
        // Cipher suites and compression methods.
        guard rest.vector(lengthBytes: 2) != nil, rest.vector(lengthBytes: 1) != nil else { return nil }
        if rest.isAtEnd { return ClientHello(sessionID: Array(sessionID), tickets: []) }
        guard let extensions = rest.vector(lengthBytes: 2) else { return nil }
        var list = Cursor(extensions)
        var identities: [[UInt8]] = []
        var ticket: [[UInt8]] = []
        while !list.isAtEnd {
            guard let type = list.number(bytes: 2), let contents = list.vector(lengthBytes: 2) else { return nil }
            switch type {
            case 35 where !contents.isEmpty: ticket = [Array(contents)]
            case 41:
                guard let found = self.identities(in: contents) else { return nil }
                identities = found
            default: break
            }
        }
        return ClientHello(sessionID: Array(sessionID), tickets: identities + ticket)
    }

    private static func identities(in contents: ArraySlice<UInt8>) -> [[UInt8]]? {
        var rest = Cursor(contents)
        guard let list = rest.vector(lengthBytes: 2) else { return nil }
        var entries = Cursor(list)
        var identities: [[UInt8]] = []
        while !entries.isAtEnd, identities.count < identityLimit {
            // The identity, and its obfuscated age.
            guard let identity = entries.vector(lengthBytes: 2), entries.take(4) != nil else { return nil }
            identities.append(Array(identity))
        }
        return identities
    }
}

/// Reads numbers and vectors out of bytes, and never beyond them (RFC 8446 section 3).
private struct Cursor {
    private var rest: ArraySlice<UInt8>
    /// `upTo` has found fewer bytes than it was asked for.
    private(set) var wasShort = false

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func byte() -> UInt8? { rest.popFirst() }

    mutating func number(bytes count: Int) -> Int? {
        take(count).map { $0.reduce(0) { $0 << 8 | Int($1) } }
    }

    mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
        guard rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    mutating func upTo(_ count: Int) -> ArraySlice<UInt8> {
        wasShort = rest.count < count
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    mutating func vector(lengthBytes: Int) -> ArraySlice<UInt8>? {
        guard let count = number(bytes: lengthBytes) else { return nil }
        return take(count)
    }
}
