import NetIO
import Wire

/// Why the gateway cannot start: one sentence with what to do.
public struct StartError: Error, CustomStringConvertible {
    public let description: String
}

/// Opens the gateway's listening sockets, control and passive.
enum ListeningSockets {
    /// Listens on one address, or on every address of both families.
    private static func open(host: IPAddress?, port: UInt16, isConfigured: Bool = true) throws(SystemError) -> Socket {
        if let host { return try Socket.listening(on: SocketAddress(ip: host, port: port), isConfigured: isConfigured) }
        do {
            return try Socket.listening(on: SocketAddress(ip: .anyV6, port: port), isConfigured: isConfigured)
        } catch  where error.code == SystemError.addressFamilyUnsupported {
            return try Socket.listening(on: SocketAddress(ip: .anyV4, port: port), isConfigured: isConfigured)
        }
    }

    static func open(_ listener: GatewayConfiguration.Listener) throws(StartError) -> Socket {
        if let descriptor = listener.inherited {
            let socket = Socket(owning: descriptor)
            socket.configureConnection()
            return socket
        }
        do throws(SystemError) {
            return try open(host: listener.host, port: listener.port)
        } catch {
            let flag = listener.mode == .explicit ? "--listen" : "--listen-implicit"
            let remedy =
                switch error.code {
                case SystemError.addressInUse: "stop what listens there, or choose another port with \(flag)"
                case SystemError.permissionDenied:
                    "ports below 1024 need root or CAP_NET_BIND_SERVICE; or choose another port with \(flag)"
                default: "choose an address of this machine with \(flag)"
                }
            throw StartError(description: "\(error); \(remedy).")
        }
    }

    /// One passive port: a listening socket for each address that control connections come to, not configured yet: the worker
    /// that listens on it does that.
    struct PassivePort: Sendable {
        let port: UInt16
        let descriptors: [Int32]
    }

    /// - Parameter port: zero for one of the kernel's choice.
    static func openPassive(_ port: UInt16, hosts: [IPAddress?]) throws(SystemError) -> PassivePort {
        var port = port
        var descriptors: [Int32] = []
        do throws(SystemError) {
            for host in hosts {
                let socket = try open(host: host, port: port, isConfigured: false)
                if port == 0 { port = socket.localAddress()?.port ?? 0 }
                descriptors.append(socket.take())
            }
        } catch {
            for descriptor in descriptors { _ = Socket(owning: descriptor) }
            throw error
        }
        return PassivePort(port: port, descriptors: descriptors)
    }

    /// Where passive ports are listened on: where the control connections come to.
    static func distinct(_ hosts: [IPAddress?]) -> [IPAddress?] {
        if hosts.contains(nil) { return [nil] }
        var distinct: [IPAddress?] = []
        for host in hosts where !distinct.contains(host) { distinct.append(host) }
        return distinct
    }
}
