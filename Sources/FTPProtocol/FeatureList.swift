/// What FEAT says: the backend's features, less those that the gateway does not let through, and its own (RFC 2389).
public enum FeatureList {
    /// Before TLS the backend is not asked.
    public static let cleartext = Reply(211, first: "Features:", between: own, last: "End")

    private static let own = [" AUTH TLS", " PBSZ", " PROT"]

    /// The gateway's business, or what it refuses whatever the backend can.
    private static let replaced: Set<String> = [
        "AUTH", "PBSZ", "PROT", "CCC", "ADAT", "MIC", "CONF", "ENC", "SSCN", "CPSV", "SPSV", "LPRT", "LPSV",
    ]

    /// - Parameter hides: says of a feature's words, in upper case, whether its command would be refused.
    public static func merge(_ reply: Reply, hiding hides: ([String]) -> Bool) -> Reply {
        guard reply.code == 211, reply.lines.count > 1 else { return cleartext }
        let lines = reply.lines
        var kept: [UInt8] = line(lines[0])
        for text in lines.dropFirst().dropLast() {
            // Some servers write the code in front of every line.
            let bare = text.starts(with: Array("211-".utf8)) ? text.dropFirst(4) : text[...]
            let words = String(decoding: bare, as: UTF8.self).uppercasedASCII.split(separator: " ").map(String.init)
            guard let feature = words.first else { continue }
            // Of the modes only S passes, and that is no feature.
            if replaced.contains(feature) || feature == "MODE" || hides(words) { continue }
            kept += line(text)
        }
        for feature in own { kept += line(Array(feature.utf8)) }
        kept += line(lines[lines.count - 1])
        return Reply(code: 211, bytes: kept)
    }

    private static func line(_ text: [UInt8]) -> [UInt8] { text + [13, 10] }
}
