import System
import Testing

@testable import ftpsgate

/// What users read names what the parser knows.
@Suite struct TheDocuments {
    private static let root = #filePath.split(separator: "/").dropLast(3).reduce(into: "") { $0 += "/\($1)" }

    @Test func theREADMENamesEveryFlag() throws {
        let text = try TextFile.read("\(Self.root)/README.md").get()
        for name in FlagNames.all.sorted() {
            #expect(text.contains("| `--\(name)"), "run make docs: the README's table lacks --\(name)")
        }
    }
}
