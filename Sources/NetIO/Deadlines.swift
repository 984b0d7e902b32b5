/// What can stand in `Deadlines`.
protocol Timed: AnyObject {
    /// Where it stands; -1 while it does not. For `Deadlines` alone.
    var place: Int32 { get set }
}

/// Deadlines in order: a binary heap whose members know where they stand, so that each can be moved and taken out without a
/// search. Pure.
///
/// Members are not retained: whoever goes takes itself out before.
struct Deadlines<Member: Timed> {
    private struct Entry {
        var deadline: Duration
        unowned(unsafe) let member: Member
    }

    private var heap: [Entry] = []

    var count: Int { heap.count }
    /// The earliest.
    var first: Duration? { heap.first?.deadline }

    /// Puts the member in, or moves it.
    mutating func set(_ member: Member, _ deadline: Duration) {
        if member.place < 0 {
            heap.append(Entry(deadline: deadline, member: member))
            rise(heap.count - 1)
        } else {
            let place = Int(member.place)
            let isEarlier = deadline < heap[place].deadline
            heap[place].deadline = deadline
            isEarlier ? rise(place) : sink(place)
        }
    }

    mutating func remove(_ member: Member) {
        let place = Int(member.place)
        guard place >= 0 else { return }
        member.place = -1
        let last = heap.removeLast()
        guard place < heap.count else { return }
        let isEarlier = last.deadline < heap[place].deadline
        heap[place] = last
        isEarlier ? rise(place) : sink(place)
    }

    /// Takes out the earliest that is not later than `time`.
    mutating func takeDue(at time: Duration) -> Member? {
        guard let first = heap.first, first.deadline <= time else { return nil }
        remove(first.member)
        return first.member
    }

    private mutating func rise(_ start: Int) {
        let entry = heap[start]
        var place = start
        while place > 0 {
            let parent = (place - 1) / 2
            guard entry.deadline < heap[parent].deadline else { break }
            put(heap[parent], at: place)
            place = parent
        }
        put(entry, at: place)
    }

    private mutating func sink(_ start: Int) {
        let entry = heap[start]
        var place = start
        while true {
            var child = 2 * place + 1
            if child + 1 < heap.count, heap[child + 1].deadline < heap[child].deadline { child += 1 }
            guard child < heap.count, heap[child].deadline < entry.deadline else { break }
            put(heap[child], at: place)
            place = child
        }
        put(entry, at: place)
    }

    private mutating func put(_ entry: Entry, at place: Int) {
        heap[place] = entry
        entry.member.place = Int32(place)
    }
}
