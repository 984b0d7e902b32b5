public import FTPSession
public import TLS
public import Wire

/// Everything that the operator chose, judged once, immutable from then on.
///
/// Made by the executable from flags, environment and file; nothing deeper reads a flag.
public struct GatewayConfiguration: Sendable {
    /// One control listener.
    public struct Listener: Sendable, Equatable {
        public enum Mode: Sendable, Equatable { case explicit, implicit }
        public var mode: Mode
        /// Numeric host; nil listens on every address of both families.
        public var host: IPAddress?
        /// 0 lets the kernel choose.
        public var port: UInt16
        /// What the service manager calls the socket that it hands over; host and port are its business then.
        public var socketName: String?
        /// That socket, listening already.
        public var inherited: Int32?
        public init(mode: Mode, host: IPAddress?, port: UInt16, socketName: String? = nil, inherited: Int32? = nil) {
            self.mode = mode
            self.host = host
            self.port = port
            self.socketName = socketName
            self.inherited = inherited
        }
    }

    /// The plain FTP server behind the gateway.
    public struct Backend: Sendable, Equatable {
        /// A name or a numeric address.
        public var host: String
        public var port: UInt16
        public init(host: String, port: UInt16 = 21) {
            self.host = host
            self.port = port
        }
    }

    /// Where clients in passive mode are sent to (`--passive-ports`).
    public enum PassivePorts: Sendable, Equatable {
        case range(PortRange)
        /// As many ports as this, chosen by the kernel (`0:N`).
        case chosenByKernel(count: Int)
    }

    /// The address that a 227 names (`--passive-address`).
    public struct PassiveAddress: Sendable, Equatable {
        public enum Source: Sendable, Equatable {
            /// The address that the client connected to.
            case automatic
            case fixed(IPAddress)
            /// A name, resolved when the gateway starts and again every minute.
            case name(String)
            case interface(String)
        }
        public var source: Source
        /// By the client's network; the first match wins over `source`.
        public var exceptions: [Exception]
        public struct Exception: Sendable, Equatable {
            public var network: CIDRBlock
            public var address: IPAddress
            public init(network: CIDRBlock, address: IPAddress) {
                self.network = network
                self.address = address
            }
        }
        public init(source: Source = .automatic, exceptions: [Exception] = []) {
            self.source = source
            self.exceptions = exceptions
        }
    }

    /// Whether a data connection must resume its control connection's TLS session (`--data-session`, DESIGN 3.11.1).
    public enum DataSession: String, Sendable, CaseIterable { case require, prefer, off }

    /// Another choice than the general one, for some clients.
    public struct Exception<Choice: Sendable & Equatable>: Sendable, Equatable {
        public enum Scope: Sendable, Equatable {
            /// Those whose addresses are in it.
            case network(CIDRBlock)
            /// Those who have connected to this control port.
            case listener(port: UInt16)
        }
        public var scope: Scope
        public var choice: Choice
        public init(_ scope: Scope, _ choice: Choice) {
            self.scope = scope
            self.choice = choice
        }

        /// - Parameter port: the control port that the client has connected to.
        func applies(to client: IPAddress, at port: UInt16) -> Bool {
            switch scope {
            case .network(let network): network.contains(client)
            case .listener(let own): own == port
            }
        }
    }

    /// The port that clients are told for a passive port (`--passive-port-map`, `--passive-port-offset`).
    func toldPort(_ port: UInt16) -> UInt16 {
        passivePortMap.seen(port) ?? UInt16(clamping: Int(port) + passivePortOffset)
    }

    /// The port that active data connections to clients come from (`--active-source-port`).
    public enum ActiveSourcePort: Sendable, Equatable {
        case any
        case range(PortRange)
    }

    /// Every clock of PROTOCOL section 7, each with its flag.
    public struct Timeouts: Sendable, Equatable {
        public var idle: Duration = .seconds(600)
        public var login: Duration = .seconds(120)
        public var handshake: Duration = .seconds(10)
        public var data: Duration = .seconds(300)
        public var connect: Duration = .seconds(5)
        public var reply: Duration = .seconds(300)
        /// From SIGTERM to the end of all sessions; 0 means without end.
        public var drain: Duration = .seconds(60)
        /// How long new clients are still taken after SIGTERM, since load balancers lag; part of `drain`.
        public var drainDelay: Duration = .zero
        public init() {}
    }

    public var listeners: [Listener]
    public var backends: [Backend]
    /// Versions, ciphers, identities, client certificates; one context serves control and data connections.
    public var tls: TLSContext
    /// Ask the responders of our certificates' authorities for what is to be stapled.
    public var fetchesStaples = false
    /// `--ktls`, where the kernel can do it.
    public var usesKernelTLS = false
    public var session = SessionPolicy()
    /// How clients' certificates name the users that they may log in as; empty: certificates bind no user.
    public var certificateUsers: [CertificateUserRule] = []
    public var passivePorts = PassivePorts.range(PortRange(lower: 50000, upper: 50999)!)
    public var passiveAddress = PassiveAddress()
    /// Added to a passive port where clients are told of it, since something on the way forwards the one to the other.
    public var passivePortOffset = 0
    /// Goes before `passivePortOffset`.
    public var passivePortMap = PortMap()
    public var dataSession = DataSession.prefer
    /// Of these and those below, the first that applies wins over the general choice.
    public var dataSessionExceptions: [Exception<DataSession>] = []
    public var controlTLSExceptions: [Exception<SessionPolicy.Requirement>] = []
    public var dataTLSExceptions: [Exception<SessionPolicy.Requirement>] = []
    public var backendSource: IPAddress?
    public var activeSourcePort = ActiveSourcePort.any
    /// Take TLS at once on explicit listeners where the client's first byte says so.
    public var autodetect = false
    /// Clients outside these networks are turned away; empty means all may come.
    public var allowFrom: [CIDRBlock] = []
    public var denyFrom: [CIDRBlock] = []
    public var timeouts = Timeouts()
    /// 0 means no limit.
    public var maxSessions = 0
    public var maxSessionsPerAddress = 0
    /// Sessions that may begin in a second; 0 means no limit. Those who come too soon wait in the kernel's queue.
    public var maxHandshakeRate = 0
    /// Event loops, each on a thread of its own; 1 to 256.
    public var workers = 1

    public init(listeners: [Listener], backends: [Backend], tls: TLSContext) {
        self.listeners = listeners
        self.backends = backends
        self.tls = tls
    }
}

extension GatewayConfiguration {
    func dataSession(for client: IPAddress, at port: UInt16) -> DataSession {
        dataSessionExceptions.first { $0.applies(to: client, at: port) }?.choice ?? dataSession
    }

    /// What a session goes by whose client has connected to this control port.
    func sessionPolicy(for client: IPAddress, at port: UInt16) -> SessionPolicy {
        var policy = session
        if let exception = controlTLSExceptions.first(where: { $0.applies(to: client, at: port) }) {
            policy.controlTLS = exception.choice
        }
        if let exception = dataTLSExceptions.first(where: { $0.applies(to: client, at: port) }) {
            policy.dataTLS = exception.choice
        }
        return policy
    }
}
