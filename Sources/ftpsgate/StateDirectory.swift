import System

/// Where what must outlive a restart is kept (DESIGN 3.11.9).
enum StateDirectory {
    static let standard = "/var/lib/ftpsgate"

    /// The folders that come into question, the best first.
    static func candidates(_ chosen: String?, environment: [String: String]) -> [String] {
        if let chosen { return [chosen] }
        var paths = [standard]
        if let home = environment["XDG_STATE_HOME"], home.hasPrefix("/") {
            paths.append("\(home)/ftpsgate")
        } else if let home = environment["HOME"], home.hasPrefix("/") {
            paths.append("\(home)/.local/state/ftpsgate")
        }
        return paths
    }

    /// The default trusted authorities database.
    /// - Parameter makesFiles: where no state directory is there yet, the first that can be made is.
    static func trusted(_ chosen: String?, environment: [String: String], makesFiles: Bool) -> String {
        let folders = candidates(chosen, environment: environment)
        let present = folders.first { Process.isWritableFolder($0) }
        let folder = present ?? (makesFiles ? prepare(chosen, environment: environment) : nil) ?? folders[0]
        return "\(folder)/trusted"
    }

    /// What the keys of session tickets are derived from, so that sessions are resumed after a restart.
    static let ticketSecret = "ticket.secret"

    /// The folder that is in use, the files of the self-signed certificate in it, and the ticket secret: what must belong to `--user`.
    static func files(_ chosen: String?, environment: [String: String]) -> [String] {
        guard let folder = candidates(chosen, environment: environment).first(where: { Process.isWritableFolder($0) }) else {
            return []
        }
        return [folder] + ["crt", "key", "csr"].map { "\(folder)/ftpsgate.\($0)" } + ["\(folder)/\(ticketSecret)"]
    }

    /// The first that can be written to, made where it is missing; nil where there is none.
    static func prepare(_ chosen: String?, environment: [String: String]) -> String? {
        candidates(chosen, environment: environment).first { Process.prepareDirectory($0) }
    }
}
