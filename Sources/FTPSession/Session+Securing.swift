import FTPProtocol

/// The greeting, AUTH TLS and implicit TLS, PBSZ, PROT, CCC (RFC 2228, RFC 4217).
extension Session {
    mutating func securing(_ event: Event) {
        switch (event, state) {
        case (.accepted, .initial):
            actions.append(.setTimer(.login))
            if facts.isImplicit {
                state = .securing
                // PBSZ may be missing, and data are private from the start: clients of implicit FTPS expect both.
                hasProtectionBuffer = true
                isDataPrivate = true
                actions += [.protectData(true), .setTimer(.handshake), .startTLS]
            } else {
                greet()
            }
        case (.clientSecured, .securing):
            security = .encrypted
            actions.append(.cancelTimer(.handshake))
            if facts.isImplicit {
                greet()
            } else {
                becomeIdle()
            }
            if backend == .absent { connectBackend() }
        default:
            break
        }
    }

    private mutating func greet() {
        reply(.greeting(policy.greeting))
        becomeIdle()
    }

    mutating func connectBackend() {
        backend = .connecting
        actions.append(.connectBackend)
    }

    /// AUTH (RFC 4217 section 4). SSL and TLS-P mean protected data at once; TLS and TLS-C only after PROT P.
    mutating func authenticate(_ command: Command) {
        guard security == .clear else { return reply(.alreadySecured) }
        let mechanism = command.argumentText.uppercasedASCII
        switch mechanism {
        case "TLS", "TLS-C": isDataPrivate = false
        case "SSL", "TLS-P":
            isDataPrivate = true
            hasProtectionBuffer = true
        case "": return reply(.authNeedsArgument)
        default: return reply(.unknownMechanism)
        }
        guard queue.isEmpty else { return end(.pipelinedBeforeTLS) }
        reply(.startTLS)
        state = .securing
        actions += [.protectData(isDataPrivate), .cancelTimer(.idle), .setTimer(.handshake), .startTLS]
    }

    /// PBSZ, PROT, CCC and what RFC 2228 has beside them.
    mutating func protect(_ command: Command) {
        switch command.verb {
        case .pbsz:
            guard isSecured else { return reply(.secureFirst) }
            guard let size = Int(command.argumentText), (0...4_294_967_295).contains(size) else { return reply(.pbszMalformed) }
            hasProtectionBuffer = true
            reply(.pbszOK)
        case .prot: setProtection(command)
        case .ccc: clearControl()
        case .adat: reply(.adatRefused)
        default: reply(isSecured ? .protectedCommandRefused : .secureFirst)
        }
    }

    private mutating func setProtection(_ command: Command) {
        guard isSecured else { return reply(.secureFirst) }
        guard hasProtectionBuffer else { return reply(.pbszFirst) }
        switch command.argumentText.uppercasedASCII {
        case "P":
            isDataPrivate = true
            actions.append(.protectData(true))
            reply(.protPrivate)
        case "C" where policy.dataTLS == .required:
            refuse(command, .clearData, .protClearRefused)
        case "C":
            isDataPrivate = false
            actions.append(.protectData(false))
            reply(.protClear)
        case "S", "E": reply(.protUnsupported)
        case "": reply(.protNeedsArgument)
        default: reply(.protUnknown)
        }
    }

    private mutating func clearControl() {
        guard security == .encrypted else { return reply(.cccRefusedInClear) }
        guard policy.allowCCC, user != nil else { return reply(.cccRefused) }
        security = .cleared
        reply(.cccDone)
        actions.append(.stopTLS)
    }
}
