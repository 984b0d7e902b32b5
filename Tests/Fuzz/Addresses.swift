import FTPProtocol
import Wire

/// The same bytes as PORT, EPRT and EPSV, as 227 and 229, and as every text that names an address. The command is an active
/// one, so that the argument does not begin at index 0.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzAddresses(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: data, count: count))
    let argument = (Array("EPRT ".utf8) + input)[5...]
    if let address = DataAddress.parsePORT(argument) {
        promise(DataAddress.parsePORT(Array(DataAddress.portArgument(address).utf8)[...]) == address)
        promise(address.port > 0)
    }
    if case .address(let address) = DataAddress.parseEPRT(argument) {
        promise(DataAddress.parseEPRT(Array(DataAddress.eprtArgument(address).utf8)[...]) == .address(address))
        promise(address.port > 0)
    }
    _ = DataAddress.parseEPSV(argument)
    let line = input.filter { $0 != 10 && $0 != 13 }
    if let address = DataAddress.parse227(Reply(code: 227, bytes: Array("227 ".utf8) + line + [13, 10])) {
        promise(DataAddress.parse227(.enteringPassive(address)) == address)
    }
    if let port = DataAddress.parse229(Reply(code: 229, bytes: Array("229 ".utf8) + line + [13, 10])) {
        promise(DataAddress.parse229(.enteringExtendedPassive(port: port)) == port)
    }
    texts(String(decoding: input, as: UTF8.self))
    let shown = AddressText.replace(in: input, except: .anyV4, by: "x")
    promise(AddressText.replace(in: shown, except: .anyV4, by: "x").count <= shown.count)
    return 0
}

private func texts(_ text: String) {
    if let ip = IPAddress(text) {
        promise(IPAddress(ip.description) == ip)
        promise(CIDRBlock(text)?.contains(ip) == true)
    }
    if let network = CIDRBlock(text) {
        promise(CIDRBlock(network.description) == network && network.contains(network.address))
    }
    if let range = PortRange(text) { promise(PortRange(range.description) == range && range.count > 0) }
    if let address = SocketAddress(text) { promise(SocketAddress(address.description) == address) }
}
