import ArgumentParser
import PKI
import System

/// `ftpsgate check`: everything is read and judged; nothing is bound, made or changed.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Read and judge all settings and files; open no port, change nothing.")

    @OptionGroup var flags: Flags

    func run() throws { try Self.run(GivenFlags(flags)) }

    static func run(_ given: GivenFlags) throws {
        Libraries.keepToTheEnd()
        let loaded = try LoadedConfiguration(given, makesFiles: false)
        for variable in loaded.ignoredVariables {
            Process.complain("ftpsgate: \(variable): no flag has such a name; it is ignored.")
        }
        Process.print("The configuration is good.")
    }
}
