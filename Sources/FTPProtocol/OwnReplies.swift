public import Wire

/// Every reply that the gateway gives by itself, once, named by its meaning. Each refusal says what to do next.
extension Reply {
    // MARK: The control connection's start and end

    public static func greeting(_ text: String) -> Reply { Reply(220, text) }
    public static let bye = Reply(221, "Goodbye.")
    public static let tooManyBadLines = Reply(421, "Too many lines that are no commands; closing.")
    public static let tooManyLoginFailures = Reply(421, "Too many failed logins; closing.")
    public static let loginTimeout = Reply(421, "No login in time; connect again.")
    public static let idleTimeout = Reply(421, "Idle for too long; connect again.")
    public static let backendDidNotGreet = Reply(421, "Backend did not greet.")
    public static let backendSilent = Reply(421, "Backend did not answer.")
    public static let backendClosed = Reply(421, "Backend closed the connection.")
    public static let endless = Reply(421, "Backend sent an endless reply.")
    public static let nonsense = Reply(421, "Backend sent lines that are no replies.")
    public static let unasked = Reply(421, "Backend sent replies that answer nothing.")
    public static let shuttingDown = Reply(421, "Gateway is shutting down; connect again later.")
    public static func backendUnavailable(_ problem: String) -> Reply {
        Reply(421, "Backend is not available: \(oneLine(problem)).")
    }
    public static func backendRefused(_ text: String) -> Reply { Reply(421, "Backend refused the connection: \(oneLine(text))") }

    // MARK: Security

    public static let authTooLate = Reply(503, "AUTH TLS comes before USER: connect again.")
    public static let startTLS = Reply(234, "Proceed with TLS.")
    public static let alreadySecured = Reply(503, "TLS is already in use.")
    public static let authNeedsArgument = Reply(501, "AUTH needs a mechanism: send AUTH TLS.")
    public static let unknownMechanism = Reply(504, "Unknown mechanism: send AUTH TLS.")
    public static let noCertificate = Reply(431, "No certificate fits the TLS settings: ask the operator.")
    public static let tlsRequired = Reply(530, "Encryption required: send AUTH TLS first.")
    public static let secureFirst = Reply(503, "Send AUTH TLS first.")
    public static let pbszOK = Reply(200, "PBSZ=0")
    public static let pbszMalformed = Reply(501, "PBSZ needs a number: send PBSZ 0.")
    public static let pbszFirst = Reply(503, "Send PBSZ 0 first.")
    public static let protPrivate = Reply(200, "Data connections are protected.")
    public static let protClear = Reply(200, "Data connections are in the clear.")
    public static let protClearRefused = Reply(534, "Data connections must be protected: send PROT P.")
    public static let protUnsupported = Reply(536, "Only PROT P and PROT C exist with TLS: send PROT P.")
    public static let protUnknown = Reply(504, "Unknown protection level: send PROT P.")
    public static let protNeedsArgument = Reply(501, "PROT needs a level: send PROT P.")
    public static let cccDone = Reply(200, "Control connection continues in the clear.")
    public static let cccRefused = Reply(534, "The control connection must stay encrypted.")
    public static let cccRefusedInClear = Reply(533, "The control connection is not encrypted.")
    public static let adatRefused = Reply(503, "TLS needs no ADAT: go on with PBSZ 0 and PROT P.")
    public static let protectedCommandRefused = Reply(537, "Commands are protected by TLS alone: send them as they are.")

    // MARK: Commands

    public static let loginFirst = Reply(530, "Log in with USER and PASS first.")
    public static let notPermitted = Reply(550, "Not permitted by this gateway.")
    public static let otherCertificate = Reply(530, "The certificate is another user's: log in as the user that it names.")
    public static let loggedInByCertificate = Reply(232, "Logged in by certificate.")
    public static let certificateLoginFailed = Reply(530, "Login by certificate failed at the backend: ask the operator.")
    public static let userDenied = Reply(530, "This user may not log in here.")
    public static let notImplemented = Reply(502, "Command not offered by this gateway: use PASV, EPSV, PORT or EPRT.")
    public static let reinRefused = Reply(502, "REIN would end TLS with the login: connect again instead.")
    public static let modeRefused = Reply(504, "Only MODE S is offered.")
    public static let structureRefused = Reply(504, "Only STRU F is offered.")
    public static let hostTooLate = Reply(503, "HOST comes before USER.")
    public static let hostServed = Reply(220, "Host accepted.")
    public static let hostUnknown = Reply(504, "This host is not served here.")
    public static let clientNoted = Reply(200, "Noted.")
    public static let utf8On = Reply(200, "UTF8 is on.")
    public static let noopDone = Reply(200, "NOOP done.")
    public static let illegalCharacter = Reply(501, "Illegal character in command.")
    public static let lineTooLong = Reply(500, "Line too long.")
    public static let argumentTooLong = Reply(501, "Argument too long.")
    public static let emptyLine = Reply(500, "A line without a command: send HELP for the commands.")
    public static let unexpected = Reply(451, "Unexpected reply from the backend.")
    public static let help = Reply(
        214, first: "This is an FTPS gateway. Before anything else, send:",
        between: [" AUTH TLS", " (or FEAT, HELP, NOOP, QUIT)"], last: "End")

    // MARK: Setting up data connections

    public static let epsvAllSet = Reply(503, "EPSV ALL was sent: only EPSV is taken from now on.")
    public static let epsvAllDone = Reply(200, "EPSV ALL done.")
    public static let epsvMalformed = Reply(501, "EPSV takes 1, 2, ALL or nothing.")
    public static let useEPSV = Reply(501, "PASV cannot name an IPv6 address: use EPSV.")
    public static func networkProtocolUnsupported(use family: String) -> Reply {
        Reply(522, "Network protocol not supported, use (\(family))")
    }
    public static let portMalformed = Reply(501, "PORT needs h1,h2,h3,h4,p1,p2.")
    public static let eprtMalformed = Reply(501, "EPRT needs |family|address|port|.")
    public static let bounceRefused = Reply(504, "Data connections go to your own address and to ports from 1024 only.")
    public static let portAccepted = Reply(200, "Address noted.")
    public static let noFreePort = Reply(
        425, "No passive port is free for your address; try again. (Operator: more --passive-ports.)")
    public static let backendAddressUnusable = Reply(425, "Backend named no usable data port.")

    // MARK: Transfers

    public static let usePlanFirst = Reply(425, "Use PASV, EPSV, PORT or EPRT first.")
    public static let protFirst = Reply(521, "Use PROT P first.")
    public static let readyForData = Reply(150, "Ready for the data connection.")
    public static let aborted = Reply(426, "Transfer aborted.")
    public static let abortDone = Reply(226, "Abort done.")

    public static func clientNeverConnected(_ address: SocketAddress) -> Reply {
        Reply(
            425,
            "Data connection not opened: client did not connect to \(address)."
                + " (A firewall or NAT on the way; operator: open or forward that port, or --passive-address.)")
    }
    public static func clientDataFailed(_ address: SocketAddress, _ reason: String) -> Reply {
        Reply(
            425, "Data connection to \(address) failed: \(oneLine(reason)). (Behind a firewall or NAT use passive mode.)")
    }
    public static let noDataHandshake = Reply(
        425, "Data connection failed: no TLS handshake arrived. Client must use PROT P data.")
    public static func dataHandshakeFailed(_ reason: String) -> Reply {
        Reply(522, "TLS failed on the data connection: \(oneLine(reason)).")
    }
    public static let dataNotResumed = Reply(522, "TLS session of the control connection must be resumed (client setting).")
    public static let dataAmbiguous = Reply(
        425,
        "Data connection refused: other sessions of your address wait on this port, and its TLS session was not resumed."
            + " (Client setting; or operator: more --passive-ports.)")
    public static let dataCertificateDiffers = Reply(522, "The data connection came with another client certificate.")
    private static let noCloseNotify = "Upload ended without TLS close_notify: treated as incomplete."
    public static let uploadTruncated = Reply(426, "\(noCloseNotify) (Operator: --upload-eof lenient accepts such clients.)")
    public static let uploadCut = Reply(426, "\(noCloseNotify) (The connection ended within a TLS record.)")
    public static let uploadReset = Reply(426, "\(noCloseNotify) (The connection was reset.)")
    public static let uploadResetInClear = Reply(426, "Upload ended with a reset connection: treated as incomplete.")
    public static let clientClosedData = Reply(426, "Data connection was closed by the client.")
    public static let dataStalled = Reply(426, "Data connection stalled: nothing moved for too long.")
    public static let dataKeysAreFixed = Reply(
        426, "Transfer cut: new TLS keys were asked for, which kernel TLS cannot make. (Operator: --ktls off.)")
    public static let dataKeysUsedUp = Reply(
        426, "Transfer cut: more came than was announced, and kernel TLS cannot change keys. (Operator: --ktls off.)")
    private static let backendPorts =
        "(Operator: let the gateway reach the backend's passive ports, or --backend-data active.)"
    public static let backendDataRefused = Reply(425, "Backend refused the data connection. \(backendPorts)")
    public static let backendDataTimedOut = Reply(
        425, "Backend did not open the data connection in time. \(backendPorts)")
    public static let backendDataUnreachable = Reply(
        425, "Backend cannot be reached for the data connection. \(backendPorts)")
    public static let backendBrokeOff = Reply(451, "Backend broke off the transfer.")

    /// Replies are lines of ASCII: what others say within ours must not make lines of its own.
    private static func oneLine(_ text: String) -> String {
        String(decoding: text.utf8.map { (32...126).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
    }
}
