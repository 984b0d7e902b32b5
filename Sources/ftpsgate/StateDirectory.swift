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

    /// The default trusted authorities database: in the first folder that is there, else in the first that could be made.
    static func trusted(_ chosen: String?, environment: [String: String]) -> String {
        let folders = candidates(chosen, environment: environment)
        let folder = folders.first { Process.isWritableFolder($0) } ?? prepare(chosen, environment: environment) ?? folders[0]
        return "\(folder)/trusted"
    }

    /// The folder that is in use, and the files of the self-signed certificate in it: what must belong to `--user`.
    static func files(_ chosen: String?, environment: [String: String]) -> [String] {
        guard let folder = candidates(chosen, environment: environment).first(where: { Process.isWritableFolder($0) }) else {
            return []
        }
        return [folder] + ["crt", "key", "csr"].map { "\(folder)/ftpsgate.\($0)" }
    }

    /// The first that can be written to, made where it is missing; nil where there is none.
    static func prepare(_ chosen: String?, environment: [String: String]) -> String? {
        candidates(chosen, environment: environment).first { Process.prepareDirectory($0) }
    }
}
