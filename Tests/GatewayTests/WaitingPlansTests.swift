import Synchronization
import TLS
import Testing
import Wire

@testable import Gateway

struct WaitingPlansTests {
    /// What the workers were told.
    private final class Notices: Sendable {
        private let all = Mutex<[WaitingPlans.Notice]>([])
        func add(_ notice: WaitingPlans.Notice) { all.withLock { $0.append(notice) } }
        func take() -> [WaitingPlans.Notice] {
            all.withLock { all in
                defer { all = [] }
                return all
            }
        }
    }

    private static let home = IPAddress(198, 51, 100, 7)
    private static let away = IPAddress(203, 0, 113, 9)

    private func make(_ ports: [UInt16] = [50_000], workers: Int = 1) -> (WaitingPlans, Notices) {
        let notices = Notices()
        let plans = WaitingPlans { _, notice in notices.add(notice) }
        for (index, port) in ports.enumerated() { plans.open([port], worker: index % workers) }
        return (plans, notices)
    }

    private func wish(
        _ user: String = "anna", from client: IPAddress = home, worker: Int = 0, lineage: SessionTag = .random(),
        isProtected: Bool = true, isTellable: Bool = true
    ) -> WaitingPlans.Wish {
        WaitingPlans.Wish(
            worker: worker, client: client, tag: .random(), lineage: lineage, user: user, isProtected: isProtected,
            isTellable: isTellable)
    }

    private func reserve(_ plans: WaitingPlans, _ wish: WaitingPlans.Wish, at now: Duration = .zero) -> (
        id: WaitingPlans.ID, port: UInt16?
    ) {
        let (id, port) = plans.reserve(wish, start: Int.random(in: 0..<1_000_000), now: now)
        return (id, port)
    }

    @Test func noTwoOfOneAddressWaitOnOnePortWhileAnotherIsFree() {
        let (plans, _) = make(Array(50_000..<50_020), workers: 3)
        var taken: Set<UInt16> = []
        for index in 0..<20 {
            let port = reserve(plans, wish("user\(index)", worker: index % 3)).port
            #expect(port != nil && !taken.contains(port!))
            taken.insert(port ?? 0)
        }
        // Another address has all of them.
        #expect(reserve(plans, wish(from: Self.away)).port != nil)
    }

    @Test func theOwnWorkersPortsComeFirst() {
        let (plans, _) = make([50_000, 50_001, 50_002, 50_003], workers: 2)
        let ports = (0..<2).map { reserve(plans, wish("u\($0)", worker: 1)).port }
        #expect(Set(ports) == [50_001, 50_003])
        #expect([50_000, 50_002].contains(reserve(plans, wish("u3", worker: 1)).port))
    }

    @Test func aPortThatWasJustUsedRestsWhileOthersAreFree() {
        let (plans, _) = make([50_000, 50_001])
        for round in 1...20 {
            let now = Duration.seconds(round * 10)
            let first = reserve(plans, wish(), at: now)
            plans.release(first.id, now: now)
            let second = reserve(plans, wish(), at: now + .seconds(1))
            #expect(second.port != first.port)
            plans.release(second.id, now: now + .seconds(1))
            // Both were just used: that is no reason to refuse.
            let third = reserve(plans, wish(), at: now + .milliseconds(1500))
            #expect(third.port != nil)
            plans.release(third.id, now: now + .milliseconds(1500))
        }
    }

    @Test func strangersShareAPortWhenAllAreTaken() {
        let (plans, _) = make([50_000])
        var ids: [WaitingPlans.ID] = []
        let wishes = (0..<50).map { wish("user\($0)") }
        for wish in wishes {
            let (id, port) = reserve(plans, wish)
            #expect(port == 50_000)
            ids.append(id)
        }
        for (wish, id) in zip(wishes, ids) {
            #expect(
                plans.judge(port: 50_000, client: Self.home, tag: wish.tag) == .owner(id, worker: 0, needsProof: true))
        }
        #expect(plans.judge(port: 50_000, client: Self.home, tag: nil) == .ambiguous(ids))
        #expect(plans.judge(port: 50_000, client: Self.home, tag: .random()) == .ambiguous(ids))
    }

    @Test func sameUserAndSharedSessionsWaitInTurn() {
        for isSameUser in [true, false] {
            let (plans, notices) = make([50_000])
            let lineage = SessionTag.random()
            func one(_ index: Int) -> WaitingPlans.Wish {
                isSameUser ? wish("anna") : wish("user\(index)", lineage: lineage)
            }
            let first = reserve(plans, one(1))
            let second = reserve(plans, one(2))
            let third = reserve(plans, one(3))
            #expect(first.port == 50_000 && second.port == nil && third.port == nil)
            #expect(plans.isSole(first.id))
            #expect(plans.judge(port: 50_000, client: Self.home, tag: nil) == .owner(first.id, worker: 0, needsProof: false))
            plans.release(first.id, now: .zero)
            #expect(notices.take() == [.promised(second.id, port: 50_000)])
            // One that gives up is passed over.
            plans.release(third.id, now: .zero)
            plans.release(second.id, now: .zero)
            #expect(notices.take().isEmpty)
            #expect(plans.firstLook(port: 50_000, client: Self.home) == .stray)
        }
    }

    @Test func whoWaitsForItsOwnUserHoldsBackNobodyElse() {
        let (plans, notices) = make([50_000])
        let anna = reserve(plans, wish("anna"))
        let queued = reserve(plans, wish("anna"))
        #expect(anna.port == 50_000 && queued.port == nil)
        #expect(reserve(plans, wish("bert")).port == 50_000)
        // In the queue as well: one that needs the port to itself gives up, and who stood behind it may share.
        let exclusive = reserve(plans, wish("new", isTellable: false))
        let carl = reserve(plans, wish("carl"))
        #expect(exclusive.port == nil && carl.port == nil)
        plans.release(exclusive.id, now: .zero)
        #expect(notices.take() == [.promised(carl.id, port: 50_000)])
        plans.release(anna.id, now: .zero)
        #expect(notices.take() == [.promised(queued.id, port: 50_000)])
    }

    @Test func oneConnectionDoesNotKeepThousandsBusy() {
        let (plans, notices) = make([50_000])
        let wishes = (0..<20_000).map { wish("user\($0)") }
        let ids = wishes.map { reserve(plans, $0).id }
        guard case .ambiguous(let told) = plans.judge(port: 50_000, client: Self.home, tag: nil) else {
            Issue.record("nobody can say whose it is")
            return
        }
        #expect(told.count == 256)
        plans.turnedAway(told)
        #expect(notices.take().count == 256)
        #expect(
            plans.judge(port: 50_000, client: Self.home, tag: wishes[777].tag) == .owner(ids[777], worker: 0, needsProof: true))
        for id in ids { plans.release(id, now: .zero) }
        #expect(plans.firstLook(port: 50_000, client: Self.home) == .stray)
    }

    @Test func whoCannotBeToldApartWaitsForAnEmptyPort() {
        for unclear in [wish("new", isTellable: false), wish("clear", isProtected: false)] {
            let (plans, notices) = make([50_000])
            let known = reserve(plans, wish("known"))
            let waiting = reserve(plans, unclear)
            #expect(waiting.port == nil)
            // Nobody overtakes, not even one that could share.
            let behind = reserve(plans, wish("behind"))
            #expect(behind.port == nil)
            plans.release(known.id, now: .zero)
            #expect(notices.take() == [.promised(waiting.id, port: 50_000)])
            plans.endExclusivity(of: waiting.id)
            #expect(notices.take() == (unclear.isProtected ? [.promised(behind.id, port: 50_000)] : []))
            plans.release(waiting.id, now: .zero)
            #expect(notices.take() == (unclear.isProtected ? [] : [.promised(behind.id, port: 50_000)]))
        }
    }

    @Test func otherAddressesHaveNoPartInIt() {
        let (plans, _) = make([50_000])
        let mine = reserve(plans, wish("anna", isTellable: false))
        let theirs = reserve(plans, wish("anna", from: Self.away, isTellable: false))
        #expect(mine.port == 50_000 && theirs.port == 50_000)
        #expect(plans.firstLook(port: 50_000, client: Self.home) == .sole(mine.id, worker: 0, isCertain: false))
        #expect(plans.judge(port: 50_000, client: Self.away, tag: nil) == .owner(theirs.id, worker: 0, needsProof: false))
        #expect(plans.firstLook(port: 50_000, client: IPAddress(192, 0, 2, 77)) == .undecided(candidates: 0))
        #expect(plans.judge(port: 50_000, client: IPAddress(192, 0, 2, 77), tag: nil) == .stray)
        #expect(plans.firstLook(port: 50_001, client: Self.home) == .stray)
        // With more ports than one, a stranger is nobody.
        plans.open([50_001], worker: 0)
        #expect(plans.firstLook(port: 50_000, client: IPAddress(192, 0, 2, 77)) == .stray)
    }

    @Test func whereOneWaitsNobodyWaitsForFirstBytes() {
        let (plans, _) = make([50_000])
        let mine = reserve(plans, wish("anna", isTellable: false))
        #expect(plans.firstLook(port: 50_000, client: Self.home) == .sole(mine.id, worker: 0, isCertain: true))
        let other = reserve(plans, wish("bert", from: Self.away, isTellable: false))
        #expect(plans.firstLook(port: 50_000, client: Self.home) == .sole(mine.id, worker: 0, isCertain: false))
        plans.setProtected(false, mine.id)
        #expect(plans.firstLook(port: 50_000, client: Self.home) == .sole(mine.id, worker: 0, isCertain: true))
        plans.release(mine.id, now: .zero)
        #expect(plans.firstLook(port: 50_000, client: Self.away) == .sole(other.id, worker: 0, isCertain: true))
    }

    @Test func whereOneWaitsNobodyAsksWhatIsResumed() {
        let (plans, _) = make([50_000])
        #expect(plans.judgeAlone(port: 50_000, client: Self.home) == nil)
        let mine = reserve(plans, wish("anna"))
        #expect(plans.judgeAlone(port: 50_000, client: Self.home) == .owner(mine.id, worker: 0, needsProof: false))
        #expect(plans.judgeAlone(port: 50_000, client: Self.away) == nil)
        #expect(plans.judgeAlone(port: 50_001, client: Self.home) == nil)
        // Somebody else of another address may come from this one.
        let theirs = reserve(plans, wish("bert", from: Self.away))
        #expect(plans.judgeAlone(port: 50_000, client: Self.home) == nil)
        plans.release(theirs.id, now: .zero)
        #expect(plans.judgeAlone(port: 50_000, client: Self.home) == .owner(mine.id, worker: 0, needsProof: false))
        let other = reserve(plans, wish("carl"))
        #expect(plans.judgeAlone(port: 50_000, client: Self.home) == nil)
        plans.release(mine.id, now: .zero)
        #expect(plans.judgeAlone(port: 50_000, client: Self.home) == .owner(other.id, worker: 0, needsProof: false))
    }

    /// Behind large translators, control and data connections can have different addresses.
    @Test func aProvedSessionMayComeFromAnotherAddress() {
        let (plans, _) = make([50_000])
        let mine = wish("anna")
        let id = reserve(plans, mine).id
        let other = wish("bert", from: Self.away)
        let otherID = reserve(plans, other).id
        #expect(plans.judge(port: 50_000, client: Self.away, tag: mine.tag) == .owner(id, worker: 0, needsProof: true))
        #expect(
            plans.judge(port: 50_000, client: IPAddress(192, 0, 2, 77), tag: mine.tag) == .owner(id, worker: 0, needsProof: true))
        #expect(plans.judge(port: 50_000, client: Self.away, tag: other.tag) == .owner(otherID, worker: 0, needsProof: false))
        // Not where programs may have mixed the two up.
        let kin = reserve(plans, wish("anna", from: IPAddress(192, 0, 2, 5))).id
        #expect(
            plans.judge(port: 50_000, client: IPAddress(192, 0, 2, 5), tag: mine.tag) == .owner(kin, worker: 0, needsProof: false)
        )
    }

    @Test func aTicketOfASessionThatWaitsElsewhereSaysNothing() {
        let (plans, _) = make([50_000, 50_001])
        let (first, second) = (wish("anna"), wish("bert"))
        let (one, two) = (reserve(plans, first), reserve(plans, second))
        #expect(plans.judge(port: two.port!, client: Self.home, tag: first.tag) == .owner(two.id, worker: 0, needsProof: false))
        #expect(plans.judge(port: one.port!, client: Self.home, tag: first.tag) == .owner(one.id, worker: 0, needsProof: false))
    }

    @Test func aPortThatOpensLaterServesThoseWhoWait() {
        let (plans, notices) = make([])
        let early = reserve(plans, wish())
        #expect(early.port == nil)
        plans.open([50_007], worker: 0)
        #expect(notices.take() == [.promised(early.id, port: 50_007)])
    }

    @Test func thoseWhoMayHaveBeenMeantAreTold() {
        let (plans, notices) = make([50_000])
        let ids = (0..<3).map { reserve(plans, wish("user\($0)")).id }
        plans.release(ids[1], now: .zero)
        plans.turnedAway(ids)
        #expect(notices.take() == [.turnedAway(ids[0]), .turnedAway(ids[2])])
    }

    /// Random wishes: whoever has a port can be told apart from all others of its address there, nobody waits beside a free
    /// port, and in the end nothing is left.
    @Test func randomOrdersKeepTheRules() {
        for seed in 1...40 as ClosedRange<UInt64> {
            let random = SeededRandom(seed: seed)
            let ports = (0..<(1 + random.number(below: 4))).map { UInt16(50_000 + $0) }
            let (plans, notices) = make(ports, workers: 2)
            let lineages = (0..<6).map { _ in SessionTag.random() }
            struct Held {
                let wish: WaitingPlans.Wish
                var port: UInt16?
                var isExclusive: Bool
            }
            var held: [WaitingPlans.ID: Held] = [:]
            var order: [WaitingPlans.ID] = []
            for step in 0..<400 {
                if random.number(below: 5) < 3 {
                    let wish = wish(
                        "user\(random.number(below: 6))", from: random.oneIn(3) ? Self.away : Self.home,
                        worker: random.number(below: 2), lineage: lineages[random.number(below: 6)],
                        isProtected: !random.oneIn(6), isTellable: !random.oneIn(4))
                    let (id, port) = plans.reserve(wish, start: random.number(below: 100), now: .seconds(step))
                    // Sharing comes only when all are taken.
                    let used = Set(held.values.filter { $0.wish.client == wish.client }.compactMap(\.port))
                    if let port, used.contains(port) { #expect(used.count == ports.count) }
                    order.append(id)
                    held[id] = Held(wish: wish, port: port, isExclusive: !wish.isTellable || !wish.isProtected)
                } else if !order.isEmpty {
                    let id = order.remove(at: random.number(below: order.count))
                    plans.release(id, now: .seconds(step))
                    held[id] = nil
                }
                for case .promised(let id, let port) in notices.take() { held[id]?.port = port }
                for client in [Self.home, Self.away] {
                    let ofClient = held.values.filter { $0.wish.client == client }
                    let used = Set(ofClient.compactMap(\.port))
                    let isAnyoneQueued = ofClient.contains { $0.port == nil }
                    #expect(!isAnyoneQueued || used.count == ports.count)
                    for port in used {
                        let group = ofClient.filter { $0.port == port }
                        guard group.count > 1 else { continue }
                        #expect(Set(group.map(\.wish.user)).count == group.count)
                        #expect(Set(group.map(\.wish.lineage)).count == group.count)
                        let hasExclusive = group.contains { $0.isExclusive }
                        #expect(!hasExclusive)
                    }
                }
            }
            for id in held.keys { plans.release(id, now: .seconds(1000)) }
            for port in ports { #expect(plans.firstLook(port: port, client: Self.home) == .stray) }
        }
    }
}
