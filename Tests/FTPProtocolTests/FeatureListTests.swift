import FTPProtocol
import Testing

private func merged(_ lines: [String], hiding hidden: Set<String> = []) -> [String] {
    let reply = Reply(code: 211, bytes: Array(lines.map { $0 + "\r\n" }.joined().utf8))
    return FeatureList.merge(reply) { hidden.contains($0[0]) }.lines.map { String(decoding: $0, as: UTF8.self) }
}

struct FeatureListTests {
    private static let ours = [" AUTH TLS", " PBSZ", " PROT"]

    /// As vsftpd, ProFTPD, Pure-FTPd, pyftpdlib and IIS write it.
    @Test(arguments: [
        (
            ["211-Features:", " EPRT", " EPSV", " MDTM", " PASV", " REST STREAM", " SIZE", " TVFS", " UTF8", "211 End"],
            ["211-Features:", " EPRT", " EPSV", " MDTM", " PASV", " REST STREAM", " SIZE", " TVFS", " UTF8"] + ours + ["211 End"]
        ),
        (
            [
                "211-Features:", " AUTH TLS", " CCC", " CLNT", " EPRT", " EPSV", " HOST", " LANG en-US.UTF-8*;en-US",
                " MFF modify;UNIX.group;",
                " MLST modify*;perm*;size*;type*;", " PBSZ", " PROT", " REST STREAM", " SSCN", " TVFS", "211 End",
            ],
            [
                "211-Features:", " CLNT", " EPRT", " EPSV", " HOST", " LANG en-US.UTF-8*;en-US", " MFF modify;UNIX.group;",
                " MLST modify*;perm*;size*;type*;", " REST STREAM", " TVFS",
            ] + ours + ["211 End"]
        ),
        (
            [
                "211-Extensions supported:", " UTF8", " EPRT", " IDLE", " MDTM", " SIZE", " MFMT", " REST STREAM",
                " MLST type*;size*;modify*;", " MLSD", " PRET", " AUTH TLS", " PBSZ", " PROT", " TVFS", " ESTA", " PASV", " EPSV",
                " ESTP", " SPSV",
                "211 End.",
            ],
            [
                "211-Extensions supported:", " UTF8", " EPRT", " IDLE", " MDTM", " SIZE", " MFMT", " REST STREAM",
                " MLST type*;size*;modify*;", " MLSD",
                " PRET", " TVFS", " ESTA", " PASV", " EPSV", " ESTP",
            ] + ours + ["211 End."]
        ),
        (
            [
                "211-Extended features supported:", " LANG EN*", " UTF8", " AUTH TLS;TLS-C;SSL;TLS-P;", " PBSZ", " PROT C;P;",
                " CCC", " HOST", " SIZE",
                " MDTM", " REST STREAM", "211 END",
            ],
            ["211-Extended features supported:", " LANG EN*", " UTF8", " HOST", " SIZE", " MDTM", " REST STREAM"] + ours + [
                "211 END"
            ]
        ),
    ])
    func showsTheBackendsFeaturesAndOurOwnOnce(backend: [String], client: [String]) {
        #expect(merged(backend) == client)
    }

    @Test func writesOddListsAsTheyAre() {
        #expect(
            merged(["211-x", "SIZE", "\tTVFS", "  MODE Z", " mode b", "", "auth ssl", " Rest Stream", "211 y"])
                == ["211-x", "SIZE", "\tTVFS", " Rest Stream"] + Self.ours + ["211 y"])
        #expect(
            merged(["211-x", "211-SIZE", "211-AUTH TLS", "211-MODE Z", "211 y"]) == ["211-x", "211-SIZE"] + Self.ours + ["211 y"])
    }

    @Test func leavesOutWhatIsRefused() {
        #expect(
            merged(["211-x", " MLST a*;", " SIZE", " MFMT", "211 y"], hiding: ["MLST", "MFMT"]) == ["211-x", " SIZE"] + Self.ours
                + ["211 y"])
    }

    @Test(arguments: [
        Reply(500, "What?"), Reply(502, "No."), Reply(530, "Log in."), Reply(211, "no-features"), Reply(200, "ok"),
        Reply(451, "x"),
    ])
    func withoutAListOurOwnIsAll(reply: Reply) {
        let lines = FeatureList.merge(reply) { _ in false }.lines.map { String(decoding: $0, as: UTF8.self) }
        #expect(lines == ["211-Features:"] + Self.ours + ["211 End"])
        #expect(FeatureList.merge(reply) { _ in false } == FeatureList.cleartext)
    }
}
