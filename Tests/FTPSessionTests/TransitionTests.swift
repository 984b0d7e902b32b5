import FTPProtocol
import Foundation
import Testing

@testable import FTPSession

/// The whole machine as a table: every place in a session × every event → what is done. A change of behaviour shows itself as a
/// diff of Transitions.txt, which `make transitions` rewrites.
struct TransitionTests {
    private static let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Transitions.txt")

    private struct Place {
        let name: String
        var policy = SessionPolicy()
        let steps: [String]
    }

    @Test func theTableIsAsItWas() throws {
        let table = try Self.table()
        if ProcessInfo.processInfo.environment["FTPSGATE_WRITE_TRANSITIONS"] != nil {
            try table.write(to: Self.file, atomically: true, encoding: .utf8)
        }
        let before = try String(contentsOf: Self.file, encoding: .utf8)
        guard table != before else { return }
        let changed = table.split(separator: "\n").difference(from: before.split(separator: "\n"))
        let lines = changed.map { change in
            switch change {
            case .insert(_, let line, _): "now:    \(line)"
            case .remove(_, let line, _): "before: \(line)"
            }
        }
        Issue.record(
            "\(changed.count) lines differ; run `make transitions` and review the diff:\n\(lines.prefix(20).joined(separator: "\n"))"
        )
    }

    private static func table() throws -> String {
        var text = """
            # What a session does, for every place that it can be in and every event: EVENT => STATE THEREAFTER: ACTIONS.
            # Written by `make transitions`; Transcripts/README.txt says how events and actions are read.

            """
        for place in places {
            text += "\n=== \(place.name)\n"
            var ignored: [String] = []
            for event in events {
                var stage = Stage(policy: place.policy)
                for step in place.steps { try Player.perform(step, on: &stage) }
                _ = stage.takeActions()
                let before = stage.session.state
                try Player.perform(event, on: &stage)
                let actions = stage.takeActions().flatMap(Script.text)
                if actions.isEmpty, stage.session.state == before {
                    ignored.append(event)
                } else {
                    text += "\(event) => \(name(of: stage.session.state)): \(actions.joined(separator: "; "))\n"
                }
            }
            text += "Nothing, or only kept in mind: \(ignored.joined(separator: "; "))\n"
        }
        return text
    }

    private static func name(of state: Session.State) -> String { String("\(state)".prefix { $0 != "(" }) }

    private static var places: [Place] {
        var optional = SessionPolicy()
        optional.controlTLS = .optional
        optional.dataTLS = .optional
        var cccAllowed = SessionPolicy()
        cccAllowed.allowCCC = true
        var always = SessionPolicy()
        always.verifyBeforeStore = .always
        typealias P = Prologues
        let pasv = ["C: PASV", "B: 227 (10,0,0,5,200,10)"]
        return [
            Place(name: "before the connection", steps: []),
            Place(name: "clear", steps: P.clear),
            Place(name: "clear, TLS optional", policy: optional, steps: P.clear),
            Place(name: "clear, TLS optional, logged in", policy: optional, steps: P.all["clear, logged in"]!),
            Place(name: "TLS handshake", steps: P.clear + ["C: AUTH TLS"]),
            Place(name: "TLS, backend being dialled", steps: P.secured),
            Place(name: "TLS, USER waits for the backend", steps: P.secured + ["C: USER anna"]),
            Place(name: "TLS, greeting awaited", steps: P.secured + ["* backend connected 10.0.0.5:21"]),
            Place(name: "TLS, backend failed", steps: P.secured + ["* backend unavailable: connection refused"]),
            Place(name: "TLS, backend ready", steps: P.greeted),
            Place(name: "USER sent", steps: P.greeted + ["C: USER anna"]),
            Place(name: "USER answered by 331", steps: P.greeted + ["C: USER anna", "B: 331 Password?"]),
            Place(name: "PASS sent", steps: P.greeted + ["C: USER anna", "B: 331 Password?", "C: PASS geheim"]),
            Place(name: "logged in", steps: P.loggedIn),
            Place(name: "logged in, PROT C", steps: P.all["logged in, PROT C"]!),
            Place(name: "logged in, CCC done", policy: cccAllowed, steps: P.loggedIn + ["C: CCC"]),
            Place(name: "PWD sent", steps: P.loggedIn + ["C: PWD"]),
            Place(name: "PWD sent, PWD queued", steps: P.loggedIn + ["C: PWD", "C: PWD"]),
            Place(name: "FEAT sent", steps: P.loggedIn + ["C: FEAT"]),
            Place(name: "PASV sent", steps: P.loggedIn + ["C: PASV"]),
            Place(name: "EPSV sent", steps: P.loggedIn + ["C: EPSV"]),
            Place(name: "PASV answered, data connections being made", steps: P.loggedIn + pasv),
            Place(name: "passive", steps: P.passive),
            Place(name: "passive, client connected", steps: P.passive + ["* client data began"]),
            Place(
                name: "passive, data connection failed", steps: P.passive + ["* data ended: data_handshake_failed after 0 bytes"]),
            Place(name: "active", steps: P.active),
            Place(name: "RETR sent", steps: P.passive + ["C: RETR file"]),
            Place(name: "downloading", steps: P.downloading),
            Place(name: "downloading, 226 said", steps: P.downloading + ["B: 226 Done"]),
            Place(name: "downloading, bytes out", steps: P.downloading + ["* data ended: completed 9 bytes"]),
            Place(name: "downloading, client left", steps: P.downloading + ["* data ended: client_closed_data after 5 bytes"]),
            Place(name: "downloading, STAT sent", steps: P.downloading + ["C: STAT"]),
            Place(name: "uploading", steps: P.uploading),
            Place(name: "client being judged before STOR", policy: always, steps: P.passive + ["C: STOR file"]),
            Place(name: "STOR sent behind our 150", policy: always, steps: P.passive + ["C: STOR file", "* client data ready"]),
            Place(name: "ABOR sent", steps: P.downloading + ["C: ABOR"]),
            Place(name: "ABOR answered by 426", steps: P.downloading + ["C: ABOR", "B: 426 Aborted"]),
            Place(name: "ABOR answered by 226", steps: P.downloading + ["C: ABOR", "B: 226 Done"]),
            Place(name: "ABOR over, 226 may follow", steps: P.downloading + ["C: ABOR", "B: 226 Done", "* timer abortWindow"]),
            Place(
                name: "ABOR over, 226 may follow, PWD sent",
                steps: P.downloading + ["C: ABOR", "B: 226 Done", "* timer abortWindow", "C: PWD"]),
            Place(name: "upload cut, ABOR of ours sent", steps: P.uploading + ["* data ended: upload_truncated after 5 bytes"]),
            Place(
                name: "transfer failed, reply to be dropped", steps: P.downloading + ["* data ended: data_timeout after 5 bytes"]),
            Place(
                name: "NOOP of ours sent",
                steps: P.downloading + ["* data ended: data_timeout after 5 bytes", "* timer afterFailure"]),
            Place(name: "QUIT sent", steps: P.loggedIn + ["C: QUIT"]),
            Place(name: "closed", steps: P.clear + ["C: QUIT"]),
        ]
    }

    private static let events =
        [
            "* accepted", "* secured", "* client gone", "C: AUTH TLS", "C: PBSZ 0", "C: PROT P", "C: CCC", "C: USER anna",
            "C: PASS geheim",
            "C: FEAT", "C: HOST ftp.example.com", "C: PWD", "C: XYZZY", "C: REIN", "C: PASV", "C: EPSV",
            "C: PORT 198,51,100,7,156,65",
            "C: RETR file", "C: STOR file", "C: ABOR", "C: STAT", "C: STAT file", "C: NOOP", "C: QUIT", "C: GET / HTTP/1.1",
            "C: X\\x00",
            "C: {x*9000}", "C:", "B: 120 Wait", "B: 150 Here", "B: 200 OK", "B: 211-Status", "B: 211 Status", "B: 220 Ready",
            "B: 225 Nothing", "B: 226 Done", "B: 227 (10,0,0,5,200,10)", "B: 229 (|||51210|)", "B: 230 Welcome",
            "B: 331 Password?",
            "B: 421 Bye", "B: 426 Aborted", "B: 502 No", "B: 530 Log in", "B: 550 No", "B: garbage",
            "* backend connected 10.0.0.5:21",
            "* backend unavailable: connection refused", "* backend connect timeout", "* backend endless reply",
            "* backend closed",
            "* data port for client 203.0.113.1:50000", "* no passive port", "* data port for backend 10.0.0.1:60000",
            "* backend data connected", "* backend data failed: backend_data_refused", "* client data began",
            "* client data ready",
            "* data ended: completed 9 bytes", "* data ended: upload_truncated after 5 bytes",
            "* data ended: client_closed_data after 5 bytes", "* data ended: data_handshake_failed after 0 bytes",
            "* data ended: backend_broke_off after 5 bytes", "* drain",
        ] + FTPSession.Timer.allCases.map { "* timer \($0)" }
}
