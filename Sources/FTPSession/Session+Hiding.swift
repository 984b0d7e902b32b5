import FTPProtocol
import Wire

/// What `--hide-backend` keeps from clients: the texts by which the backend introduces itself, and addresses.
extension Session {
    /// Hands the backend's reply on, byte for byte where nothing is to be hidden.
    mutating func pass(_ reply: Reply, to verb: Command.Verb? = nil) {
        self.reply(policy.hideBackend ? hidden(reply, to: verb) : reply)
    }

    private func hidden(_ reply: Reply, to verb: Command.Verb?) -> Reply {
        switch reply.code {
        case 220: .hostServed
        case 221: .bye
        case 230, 232: Reply(reply.code, "Logged in.")
        case 421: .backendClosed
        case 211, 214, 215: withoutAddresses(reply)
        default: verb == .stat || verb == .help ? withoutAddresses(reply) : reply
        }
    }

    private func withoutAddresses(_ reply: Reply) -> Reply {
        let substitute = facts.passiveAddress?.description ?? "gateway"
        return Reply(code: reply.code, bytes: AddressText.replace(in: reply.bytes, except: facts.client.ip, by: substitute))
    }
}
