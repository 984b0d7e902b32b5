import Testing

@testable import TLS

/// Connections of one thread share one BIO, and what passes through it stays apart.
@Suite struct RecordBIOTests {
    @Test(arguments: [TLSVersion.tls12, .tls13]) func theirBytesStayApart(_ version: TLSVersion) throws {
        let (context, bio) = (try makeContext(), RecordBIO())
        var conversations = (0..<3).map { _ in Conversation(context, TestClientSettings(version), bio: bio) }
        // Their handshakes run beside each other.
        for _ in 0..<20 {
            for conversation in conversations {
                conversation.handshakeClientOnly()
                _ = conversation.server.handshake()
            }
        }
        for (number, conversation) in conversations.enumerated() {
            #expect(conversation.server.facts != nil)
            conversation.clientSends("to \(number)")
        }
        for (number, conversation) in conversations.enumerated() {
            #expect(conversation.serverReadsText() == "to \(number)")
        }
        // One that goes takes nothing of the others with it.
        conversations.removeFirst()
        for (number, conversation) in conversations.enumerated() {
            _ = conversation.serverSends("from \(number)")
            #expect(conversation.clientReads() == "from \(number)")
        }
    }
}
