import FTPProtocol
import Foundation
import Testing

@testable import FTPSession

/// Whole conversations, written as text in Transcripts: one at least for every rule about the control connection.
struct TranscriptTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Transcripts")

    static func scenes() throws -> [Scene] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path()).filter { $0.hasSuffix(".txt") && $0 != "README.txt" }
            .sorted()
            .flatMap { try Scene.read(String(contentsOf: folder.appending(path: $0), encoding: .utf8), file: $0) }
    }

    /// No verb, no refusal and no clock is left without a scene.
    @Test func everythingHasItsScene() throws {
        let steps = try Self.scenes().flatMap(\.steps)
        var said: Set<String> = []
        var fired: [String] = []
        for step in steps {
            switch step.stimulus {
            case .client(let lines): for line in lines { said.insert(line.prefix { $0 != " " }.uppercased()) }
            case .event(let text): fired.append(text)
            case .backend: break
            }
        }
        let unsaid = CommandTable.verbs.map(\.name).filter { !said.contains($0) }
        #expect(unsaid.isEmpty, "no scene has a client say \(unsaid.sorted())")
        let done = steps.flatMap(\.expected)
        for refusal in Note.Refusal.allCases {
            #expect(done.contains { $0.hasPrefix("→ note: refused \(refusal.rawValue) ") }, "\(refusal)")
        }
        for line in MalformedLine.allCases { #expect(done.contains("→ note: malformed \(line.rawValue)"), "\(line)") }
        for timer in FTPSession.Timer.allCases { #expect(fired.contains("timer \(timer)"), "\(timer)") }
    }

    @Test func everySceneGoesAsWritten() throws {
        let scenes = try Self.scenes()
        #expect(scenes.count > 100)
        for scene in scenes {
            for problem in try Player.play(scene) { Issue.record("\(scene.title)\n\(problem)") }
        }
    }
}
