import Testing

@testable import FTPSession

/// Whole conversations that went wrong: steps are left out, doubled, swapped, or come from elsewhere.
struct MutationTests {
    @Test func transcriptsThatWentWrongKeepThePromises() throws {
        let scenes = try TranscriptTests.scenes()
        let anyStep = scenes.flatMap { $0.steps }
        for (index, scene) in scenes.enumerated() {
            for number in 0..<20 {
                var dice = Dice(seed: UInt64(index * 1000 + number))
                var mutant = scene
                for _ in 0..<Int.random(in: 1...4, using: &dice) { mutate(&mutant.steps, anyStep, &dice) }
                let problems = try Player.watch(mutant)
                guard problems.isEmpty else {
                    let steps = mutant.steps.map { "\($0.stimulus)" }.joined(separator: "\n")
                    Issue.record("\(scene), mutation \(number): \(problems)\n\(steps)")
                    return
                }
            }
        }
    }

    private func mutate(_ steps: inout [Scene.Step], _ others: [Scene.Step], _ dice: inout Dice) {
        guard let at = steps.indices.randomElement(using: &dice) else { return }
        switch Int.random(in: 0..<4, using: &dice) {
        case 0: steps.remove(at: at)
        case 1: steps.insert(steps[at], at: at)
        case 2: steps.swapAt(at, steps.indices.randomElement(using: &dice)!)
        default: steps.insert(dice.pick(others), at: at)
        }
    }
}
