import PKI
import TestSupport
import Testing

@Suite struct FileDigestTests {
    private let folder = TemporaryFolder()

    @Test func contentsCountAndNothingElse() {
        let file = folder.write("one", to: "a")
        let before = FileDigest(file)
        #expect(FileDigest(folder.write("one", to: "b", mode: 0o600)) == before)
        // Of the same size, and with the same times.
        _ = Shell.run("cd \(folder.path) && touch -r a stamp && printf two > a && touch -r stamp a")
        #expect(FileDigest(file) != before)
        _ = Shell.run("rm \(file)")
        #expect(FileDigest(file) == .unreadable(errno: 2))
    }

    @Test func aFolderIsTheFilesInIt() {
        folder.write("one", to: "a")
        let before = FileDigest(folder.path)
        folder.write("hidden", to: ".b")
        #expect(FileDigest(folder.path) == before)
        folder.write("", to: "c")
        let more = FileDigest(folder.path)
        #expect(more != before)
        folder.write("two", to: "a")
        #expect(![before, more].contains(FileDigest(folder.path)))
        // Into itself, without end.
        _ = Shell.run("ln -s . \(folder.file("self"))")
        #expect(FileDigest(folder.path) != more)
    }

    @Test func nothingIsTakenFromAPipe() {
        #expect(Shell.run("mkfifo \(folder.file("pipe"))").status == 0)
        #expect(FileDigest(folder.file("pipe")) == .stream)
        #expect(FileDigest("/dev/zero") == .stream)
    }

    @Test func aChangeMayComeWhereALinkLeadsTo() {
        _ = Shell.run(
            "cd \(folder.path) && mkdir real other && touch real/file && ln -s real linked && ln -s ../real/file other/file")
        func path(_ name: String) -> String { folder.file(name) }
        #expect(FileDigest.folders(of: [path("real/file"), path("real/none")]) == [path("real")])
        #expect(FileDigest.folders(of: [path("linked/file")]) == [path("linked"), path("real")])
        #expect(FileDigest.folders(of: [path("other/file")]) == [path("other"), path("real")])
        #expect(FileDigest.folders(of: [path("real")]) == [folder.path, path("real")])
        #expect(FileDigest.folders(of: [path("linked")]) == [folder.path, path("linked")])
    }
}
