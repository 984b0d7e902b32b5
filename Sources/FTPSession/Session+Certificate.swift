import FTPProtocol
import Wire

/// Logins that have to do with the client's certificate (RFC 4217 section 10): it names the only users that its holder may be,
/// and where the operator has stored a password for the backend, it takes the place of one.
extension Session {
    /// What the gateway does for a client that its certificate logs in.
    enum CertificateLogin: Equatable {
        /// USER has been relayed.
        case naming
        /// The stored password has been sent; the client never sees the question for it.
        case sendingPassword
    }

    /// Whichever way the backend reads the name.
    func certificatePermits(user command: Command) -> Bool {
        certifiedUsers.map { users in command.readings.allSatisfy { users.contains($0) } } ?? true
    }

    /// The stored password as a command, where the certificate logs this user in.
    func storedPassword(for user: String) -> Command? {
        guard let certifiedUsers, certifiedUsers.contains(user), let password = policy.certificateLogins[user],
            case .command(let command) = Command.parse(Array("PASS ".utf8) + password.bytes)
        else { return nil }
        return command
    }

    mutating func loggingIn(_ user: Command, _ step: CertificateLogin, _ reply: Reply) {
        if reply.isPreliminary { return actions.append(.setTimer(.reply)) }
        let name = user.argumentText
        switch (step, reply.code) {
        case (.naming, 331):
            guard let password = storedPassword(for: name) else { return refused(name) }
            state = .loggingIn(user: user, .sendingPassword)
            send(password)
        case (_, 230), (_, 232), (.sendingPassword, 202):
            actions.append(.cancelTimer(.reply))
            self.reply(.loggedInByCertificate)
            login = .done(user: name)
            actions += [.note(.loggedIn(user: name)), .cancelTimer(.login)]
            commandIsOver()
        default: refused(name)
        }
    }

    /// The backend knows nothing of certificates: its own words would lead the client astray.
    private mutating func refused(_ name: String) {
        actions.append(.cancelTimer(.reply))
        reply(.certificateLoginFailed)
        login = .none
        loginFailures += 1
        actions.append(.note(.loginFailed(user: name)))
        if policy.maxLoginAttempts > 0, loginFailures >= policy.maxLoginAttempts { end(.tooManyLoginFailures) }
        if state != .closed { commandIsOver() }
    }
}
