import COpenSSL
import Glibc
public import PKI
import Synchronization

/// The keys that session tickets are encrypted with, changed at intervals so that a stolen one opens little.
///
/// Shared by every context and every worker, and the same over reloads: a ticket outlives the certificate that it was issued
/// under. One key encrypts; all that are younger than a session's lifetime decrypt.
public final class TicketKeys: Sendable {
    /// Where keys come from.
    public enum Source: Sendable, Equatable {
        /// Made by this process, and gone with it.
        case random
        /// Derived from a secret and the time, so that replicas with one secret need not talk: every `--rotation` another.
        case secret(SecretBytes)
        /// Given, oldest first (`--ticket-keys`). The last but one encrypts, so that a new one has reached every replica
        /// before any of them uses it; a single one encrypts as well.
        case keys([SecretBytes])
    }

    /// 12 bytes of name, 32 of HMAC key, 32 of AES key; wiped when the last user lets go.
    final class Key: Sendable {
        let name: [UInt8]
        private let secrets: SecretBytes
        var hmac: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(rebasing: secrets.bytes[..<32]) }
        var aes: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(rebasing: secrets.bytes[32...]) }

        /// - Parameter secrets: HMAC key, AES key.
        init(name: some Collection<UInt8>, secrets: some Collection<UInt8>) {
            precondition(name.count == TicketKeys.nameCount && secrets.count == 64, "a ticket key is a name and two keys")
            self.name = Array(name)
            self.secrets = SecretBytes(secrets)
        }

        /// Of name, HMAC key and AES key, which are wiped.
        convenience init(wiping bytes: inout [UInt8]) {
            self.init(name: bytes.prefix(TicketKeys.nameCount), secrets: bytes.dropFirst(TicketKeys.nameCount))
            wipe(&bytes)
        }
    }

    private struct State {
        var source: Source
        /// Random keys with the second they were made in, oldest first.
        var made: [(key: Key, at: Int64)] = []
        /// Keys of the file, oldest first.
        var given: [Key] = []
        /// Derived keys by their slice of time.
        var derived: [Int64: Key] = [:]
    }

    /// Bytes of a key's name that are its own; the rest of the ticket's 16 are the `SessionOwner`.
    static let nameCount = 12
    private let state: Mutex<State>
    private let rotation: Int64
    private let lifetime: Int64
    private let now: @Sendable () -> Int64

    /// - Parameters:
    ///   - rotation: for how long a key encrypts; at least a second. Not for keys that were given.
    ///   - lifetime: for how long after that it decrypts: the sessions' lifetime.
    ///   - now: seconds since 1970; the system's clock where nil.
    public init(
        _ source: Source = .random, rotation: Duration = .seconds(12 * 3600), lifetime: Duration = .seconds(24 * 3600),
        now: (@Sendable () -> Int64)? = nil
    ) {
        self.rotation = max(1, rotation.components.seconds)
        self.lifetime = max(0, lifetime.components.seconds)
        self.now = now ?? { Int64(time(nil)) }
        state = Mutex(Self.state(of: source))
    }

    private static func state(of source: Source) -> sending State {
        var state = State(source: source)
        // The last 4 bytes of a given name make room for the owner.
        if case .keys(let keys) = source {
            state.given = keys.map { Key(name: $0.bytes[..<nameCount], secrets: $0.bytes[16...]) }
        }
        return state
    }

    /// Takes up other keys. Where the source is what it was, nothing changes: random keys stay as well.
    public func use(_ source: Source) {
        state.withLock { state in
            if state.source != source { state = Self.state(of: source) }
        }
    }

    /// The key that encrypts now.
    func current() -> Key {
        let now = now()
        return state.withLock { state in
            switch state.source {
            case .keys: return state.given[max(0, state.given.count - 2)]
            case .secret(let secret): return derive(now / rotation, from: secret, &state)
            case .random:
                if let last = state.made.last, now - last.at < rotation { return last.key }
                state.made.removeAll { now - $0.at >= rotation + lifetime }
                var bytes = randomBytes(Self.nameCount + 64)
                let key = Key(wiping: &bytes)
                state.made.append((key, now))
                return key
            }
        }
    }

    /// The key of this name, if it may still decrypt.
    func key(named name: some Sequence<UInt8>) -> Key? {
        let now = now()
        return state.withLock { state in
            switch state.source {
            case .keys: return state.given.last { $0.name.elementsEqual(name) }
            case .random:
                return state.made.last { $0.key.name.elementsEqual(name) && now - $0.at < rotation + lifetime }?.key
            case .secret(let secret):
                let slice = now / rotation
                // One ahead: the clock of the replica that issued it may be.
                let slices = (slice - (lifetime + rotation - 1) / rotation)...(slice + 1)
                for slice in slices {
                    let key = derive(slice, from: secret, &state)
                    if key.name.elementsEqual(name) { return key }
                }
                return nil
            }
        }
    }

    private func derive(_ slice: Int64, from secret: SecretBytes, _ state: inout State) -> Key {
        if let key = state.derived[slice] { return key }
        let oldest = now() / rotation - (lifetime / rotation + 2)
        state.derived = state.derived.filter { $0.key >= oldest }
        var bytes = hkdf(secret, info: Array("ftpsgate ticket key".utf8) + slice.bytes, count: Self.nameCount + 64)
        let key = Key(wiping: &bytes)
        state.derived[slice] = key
        return key
    }
}

extension TicketKeys.Source {
    /// Bytes of one key in a file: 16 of name, 32 of HMAC key, 32 of AES key, as other servers have it.
    private static let keyCount = 80

    /// The keys of a file: one a line in base64 (`openssl rand 80 | openssl base64 -A`), oldest first, or 80 bytes as they are.
    public static func keys(file: String) throws(TLSConfigurationError) -> TicketKeys.Source {
        var bytes = try read(file, "--ticket-keys")
        defer { wipe(&bytes) }
        var keys: [SecretBytes] = []
        if bytes.count == keyCount {
            keys = [SecretBytes(bytes)]
        } else {
            for (index, line) in bytes.split(whereSeparator: { $0 == 10 || $0 == 13 }).enumerated()
            where line.first != UInt8(ascii: "#") {
                guard var key = base64(Array(line)), key.count == keyCount else {
                    throw TLSConfigurationError(
                        "--ticket-keys: line \(index + 1) of \(file) is not 80 bytes in base64; "
                            + "make one with: openssl rand 80 | openssl base64 -A.")
                }
                keys.append(SecretBytes(key))
                wipe(&key)
            }
        }
        guard !keys.isEmpty else {
            throw TLSConfigurationError(
                "--ticket-keys: \(file) holds no key; make one with: openssl rand 80 | openssl base64 -A.")
        }
        guard Set(keys.map { Array($0.bytes.prefix(TicketKeys.nameCount)) }).count == keys.count else {
            throw TLSConfigurationError("--ticket-keys: two keys in \(file) begin with the same 12 bytes; replace one of them.")
        }
        return .keys(keys)
    }

    /// The secret of a file, as it is: at least 32 bytes.
    public static func secret(file: String) throws(TLSConfigurationError) -> TicketKeys.Source {
        var bytes = try read(file, "--ticket-secret-file")
        defer { wipe(&bytes) }
        guard bytes.count >= 32 else {
            throw TLSConfigurationError(
                "--ticket-secret-file: \(file) holds \(bytes.count) bytes, and 32 are the least; make it with: openssl rand -out \(file) 32."
            )
        }
        return .secret(SecretBytes(bytes))
    }

    /// A secret that is made once and kept, mode 0600; one that others could read or write is made anew. Where it can be neither read nor written, keys live as long as the
    /// process.
    public static func kept(in file: String) -> TicketKeys.Source {
        if File.isPrivate(file), var bytes = try? File.read(file), bytes.count >= 32 {
            defer { wipe(&bytes) }
            return .secret(SecretBytes(bytes))
        }
        var bytes = randomBytes(32)
        defer { wipe(&bytes) }
        do throws(PKIError) {
            try File.write(bytes, to: file, mode: 0o600)
            return .secret(SecretBytes(bytes))
        } catch {
            return .random
        }
    }

    private static func read(_ file: String, _ flag: String) throws(TLSConfigurationError) -> [UInt8] {
        do throws(PKIError) {
            return try File.read(file)
        } catch {
            throw TLSConfigurationError("\(flag): \(error)")
        }
    }
}

extension Int64 {
    fileprivate var bytes: [UInt8] { stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: self >> $0) } }
}

func randomBytes(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    guard RAND_bytes(&bytes, Int32(count)) == 1 else { preconditionFailure("OpenSSL has no random bytes") }
    return bytes
}

/// HKDF with SHA-256 (RFC 5869), without salt.
private func hkdf(_ secret: SecretBytes, info: [UInt8], count: Int) -> [UInt8] {
    guard let kdf = EVP_KDF_fetch(nil, "HKDF", nil), let context = EVP_KDF_CTX_new(kdf) else {
        preconditionFailure("OpenSSL has no HKDF")
    }
    defer {
        EVP_KDF_CTX_free(context)
        EVP_KDF_free(kdf)
    }
    var (key, info, digest) = (Array(secret.bytes), info, Array("SHA256".utf8CString))
    defer { wipe(&key) }
    var bytes = [UInt8](repeating: 0, count: count)
    let made = key.withUnsafeMutableBytes { secret in
        info.withUnsafeMutableBytes { info in
            digest.withUnsafeMutableBufferPointer { digest in
                let parameters = [
                    OSSL_PARAM_construct_utf8_string(shim_OSSL_KDF_PARAM_DIGEST, digest.baseAddress, 0),
                    OSSL_PARAM_construct_octet_string(shim_OSSL_KDF_PARAM_KEY, secret.baseAddress, secret.count),
                    OSSL_PARAM_construct_octet_string(shim_OSSL_KDF_PARAM_INFO, info.baseAddress, info.count),
                    OSSL_PARAM_construct_end(),
                ]
                return EVP_KDF_derive(context, &bytes, count, parameters)
            }
        }
    }
    precondition(made == 1, "HKDF of a secret with SHA-256 always works")
    return bytes
}

private func base64(_ text: [UInt8]) -> [UInt8]? {
    guard !text.isEmpty, text.count % 4 == 0 else { return nil }
    var bytes = [UInt8](repeating: 0, count: text.count / 4 * 3)
    guard EVP_DecodeBlock(&bytes, text, Int32(text.count)) >= 0 else { return nil }
    return Array(bytes.dropLast(text.suffix(2).count { $0 == UInt8(ascii: "=") }))
}
