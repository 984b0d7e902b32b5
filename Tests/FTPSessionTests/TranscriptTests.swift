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

    @Test func everySceneGoesAsWritten() throws {
        let scenes = try Self.scenes()
        #expect(scenes.count > 100)
        for scene in scenes {
            for problem in try Player.play(scene) { Issue.record("\(scene.title)\n\(problem)") }
        }
    }
}
