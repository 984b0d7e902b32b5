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
                isDataPrivate = policy.implicitDefaultProt == .private
                actions += [.protectData(isDataPrivate), .setTimer(.handshake), .startTLS]
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

    /// AUTH (RFC 4217 section 4). SSL and TLS-P mean protected data at once; TLS and TLS-C only after PROT P. The operator may say
    /// otherwise for SSL and TLS.
    mutating func authenticate(_ command: Command) {
        guard security == .clear else { return refuse(command, .outOfOrder, .alreadySecured) }
        // What was agreed with whoever sat on the line must not hold for the client behind TLS, a login least of all.
        guard login == .none else { return refuse(command, .outOfOrder, .authTooLate) }
        let isPrivate: Bool
        switch command.wordText {
        case "TLS": isPrivate = policy.protDefaultExplicit == .private
        case "TLS-C": isPrivate = false
        case "SSL": isPrivate = policy.authSSLProt == .private
        case "TLS-P": isPrivate = true
        case "": return refuse(command, .malformedArgument, .authNeedsArgument)
        default: return refuse(command, .unsupported, .unknownMechanism)
        }
        // A handshake could not but fail (RFC 2228 section 3).
        guard facts.canSecure else { return refuse(command, .noCertificate, .noCertificate) }
        guard queue.isEmpty else { return end(.pipelinedBeforeTLS) }
        isDataPrivate = isPrivate
        hasProtectionBuffer = isPrivate || policy.pbszOptional
        reply(.startTLS)
        state = .securing
        actions += [.protectData(isDataPrivate), .cancelTimer(.idle), .setTimer(.handshake), .startTLS]
    }

    /// PBSZ, PROT, CCC and what RFC 2228 has beside them.
    mutating func protect(_ command: Command) {
        switch command.verb {
        case .pbsz:
            guard isSecured else { return refuse(command, .outOfOrder, .secureFirst) }
            guard isProtectionBufferSize(command.word) else { return refuse(command, .malformedArgument, .pbszMalformed) }
            hasProtectionBuffer = true
            reply(.pbszOK)
        case .prot: setProtection(command)
        case .ccc: clearControl(command)
        case .adat: refuse(command, .outOfOrder, isSecured ? .adatRefused : .secureFirst)
        default: refuse(command, .unsupported, isSecured ? .protectedCommandRefused : .secureFirst)
        }
    }

    /// 0 to 2^32-1 in decimal digits (RFC 2228 section 3).
    private func isProtectionBufferSize(_ argument: ArraySlice<UInt8>) -> Bool {
        guard (1...10).contains(argument.count), argument.allSatisfy({ (48...57).contains($0) }) else { return false }
        return argument.reduce(0) { $0 * 10 + Int($1 - 48) } <= 4_294_967_295
    }

    private mutating func setProtection(_ command: Command) {
        guard isSecured else { return refuse(command, .outOfOrder, .secureFirst) }
        guard hasProtectionBuffer else { return refuse(command, .outOfOrder, .pbszFirst) }
        switch command.wordText {
        case "P":
            protectData(true)
            reply(.protPrivate)
        case "C" where policy.dataTLS == .required: refuse(command, .clearData, .protClearRefused)
        case "C":
            protectData(false)
            reply(.protClear)
        case "S", "E": refuse(command, .unsupported, .protUnsupported)
        case "": refuse(command, .malformedArgument, .protNeedsArgument)
        default: refuse(command, .unsupported, .protUnknown)
        }
    }

    private mutating func protectData(_ isPrivate: Bool) {
        // A client that has connected already did so under the other rule: clear bytes must not pass for protected ones.
        if isPrivate != isDataPrivate, let progress = plan?.clientProgress, progress != .waiting { dropPlan() }
        isDataPrivate = isPrivate
        actions.append(.protectData(isPrivate))
    }

    private mutating func clearControl(_ command: Command) {
        guard security == .encrypted else { return refuse(command, .clearControl, .cccRefusedInClear) }
        guard policy.allowCCC, user != nil else { return refuse(command, .clearControl, .cccRefused) }
        security = .cleared
        reply(.cccDone)
        actions += [.note(.controlCleared), .stopTLS]
    }
}
