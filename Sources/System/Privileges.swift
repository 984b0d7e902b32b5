import CLinux
import Glibc

/// Giving up root, once all that needs it is done: ports are open, and keys are read.
public enum Privileges {
    /// A user of this machine, and the group that the process is to have.
    public struct Account: Equatable, Sendable {
        public let name: String
        public let user: UInt32
        public let group: UInt32
    }

    public static var isRoot: Bool { geteuid() == 0 }
    public static var currentUser: UInt32 { geteuid() }

    /// "ftpsgate", "ftpsgate:ssl-cert", "65532", "65532:65532"; a user's own group where none is named.
    /// - Returns: nil when this machine does not know one of them, or the user is root.
    public static func account(_ text: String) -> Account? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard (1...2).contains(parts.count), !parts[0].isEmpty else { return nil }
        let number = UInt32(parts[0])
        let entry = passwordEntry(parts[0], number)
        guard let user = number ?? entry?.user, user != 0, user != .max else { return nil }
        guard let group = parts.count == 2 ? groupNumber(parts[1]) : entry?.group ?? number else { return nil }
        return Account(name: parts[0], user: user, group: group)
    }

    /// Makes the whole process that user's, for good, with that group and no other.
    /// - Returns: what could not be done.
    public static func become(_ account: Account) -> SystemFailure? {
        if account.user == geteuid(), account.group == getegid() { return nil }
        // The groups first: afterwards there is no right to do so.
        guard setgroups(0, nil) == 0, setgid(account.group) == 0, setuid(account.user) == 0 else {
            return SystemFailure(code: errno)
        }
        // Whoever could take root back has not given it up.
        precondition(setuid(0) != 0, "root was given up and came back")
        return nil
    }

    /// Gives files to the account; those that are missing are passed over.
    public static func give(_ paths: [String], to account: Account) {
        for path in paths { lchown(path, account.user, account.group) }
    }

    /// From here on nothing that this process could execute has more rights than it has itself.
    public static func forbidNewPrivileges() { ftpsgate_no_new_privileges() }

    private static func passwordEntry(_ name: String, _ number: UInt32?) -> (user: UInt32, group: UInt32)? {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16_384)
        if let number {
            getpwuid_r(number, &entry, &buffer, buffer.count, &found)
        } else {
            getpwnam_r(name, &entry, &buffer, buffer.count, &found)
        }
        return found == nil ? nil : (entry.pw_uid, entry.pw_gid)
    }

    private static func groupNumber(_ name: String) -> UInt32? {
        if let number = UInt32(name) { return number }
        var entry = group()
        var found: UnsafeMutablePointer<group>?
        var buffer = [CChar](repeating: 0, count: 16_384)
        getgrnam_r(name, &entry, &buffer, buffer.count, &found)
        return found == nil ? nil : entry.gr_gid
    }
}
