/// Which port others see in place of one of ours: through NAT, or in front of a container.
public struct PortMap: Hashable, Sendable, CustomStringConvertible {
    private struct Rule: Hashable {
        let ours: PortRange
        let theirs: PortRange
    }

    private var rules: [Rule] = []

    /// Every port is seen as it is.
    public init() {}

    /// Reads "50000=40000" and "50000-50009=40000-40009", our ports first; several with commas between them.
    /// - Returns: nil where a rule's ranges differ in length, or a port of ours, or one that is seen, stands in two rules.
    public init?(_ text: String) {
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let sides = part.split(separator: "=", omittingEmptySubsequences: false)
            guard sides.count == 2, let ours = PortRange(String(sides[0])), let theirs = PortRange(String(sides[1])),
                ours.count == theirs.count,
                !rules.contains(where: { $0.ours.overlaps(ours) || $0.theirs.overlaps(theirs) })
            else { return nil }
            rules.append(Rule(ours: ours, theirs: theirs))
        }
    }

    /// - Returns: nil where no rule names it.
    public func seen(_ port: UInt16) -> UInt16? {
        rules.first { $0.ours.contains(port) }.map { $0.theirs.lower + (port - $0.ours.lower) }
    }

    /// Our ports that rules name.
    public var ports: [PortRange] { rules.map(\.ours) }

    public var description: String { rules.map { "\($0.ours)=\($0.theirs)" }.joined(separator: ",") }
}
