import Glibc
import Testing
import Wire

@testable import NetIO

struct SocketTransportTests {
    /// One edge tells of both; a transport that forgot after a short read would wait for ever.
    @Test func dataAndFINInOneEdgeAreBothSeen() throws {
        let loop = try EventLoop()
        let (transport, peer) = try transportPair(loop)
        peer.send([1, 2, 3])
        peer.finish()
        var seen: [UInt8] = []
        var end: IOResult?
        transport.onReady = { [unowned transport] in
            // One receive per turn, as a stream does it: nothing may be lost in between.
            let (bytes, result) = transport.receiveBytes(upTo: 2)
            seen += bytes
            if case .bytes = result { transport.wake() } else if result != .wouldBlock { end = result }
        }
        transport.wake()
        #expect(loop.run(until: { end != nil }))
        #expect(seen == [1, 2, 3])
        #expect(end == .endOfStream)
    }

    @Test func whatComesAfterAnEmptyReadWakesAgain() throws {
        let loop = try EventLoop()
        let (transport, peer) = try transportPair(loop)
        var seen: [UInt8] = []
        transport.onReady = { [unowned transport] in seen += transport.receiveAll().0 }
        transport.wake()
        for round in 1...20 {
            peer.send([UInt8(round)])
            #expect(loop.run(until: { seen.count == round }))
        }
        #expect(seen == Array(1...20))
    }

    /// Who reads and writes without ever being blocked costs no event.
    @Test func whoHasNotTriedIsNotCalled() throws {
        let loop = try EventLoop()
        let (transport, peer) = try transportPair(loop)
        var calls = 0
        transport.onReady = { calls += 1 }
        peer.send([1])
        #expect(transport.sendBytes([2]) == .bytes(1))
        #expect(!loop.run(until: { calls > 0 }, within: .milliseconds(20)))
        let (bytes, result) = transport.receiveAll()
        #expect(bytes == [1] && result == .wouldBlock)
        peer.finish()
        #expect(loop.run(until: { calls > 0 }))
        #expect(transport.receiveAll().1 == .endOfStream)
    }

    @Test func whoGathersIsToldOfSoMuchAndOfTheEnd() throws {
        let loop = try EventLoop()
        let (transport, peer) = try transportPair(loop)
        var calls = 0
        transport.onReady = { calls += 1 }
        #expect(transport.receiveAll().1 == .wouldBlock)
        transport.gather(1000)
        peer.send([UInt8](repeating: 1, count: 999))
        #expect(!loop.run(until: { calls > 0 }, within: .milliseconds(20)))
        // It is there for who asks again.
        #expect(transport.receiveAll().0.isEmpty)
        transport.askAgain()
        #expect(transport.receiveBytes(upTo: 10).0.count == 10)
        peer.send([UInt8](repeating: 1, count: 11))
        #expect(loop.run(until: { calls == 1 }))
        #expect(transport.receiveAll().0.count == 990 + 10)
        peer.send([2])
        peer.finish()
        #expect(loop.run(until: { calls > 1 }))
        let (bytes, result) = transport.receiveAll()
        #expect(bytes == [2] && result == .endOfStream)
    }

    @Test func whatHasComeIsToldOnceLessIsGathered() throws {
        let loop = try EventLoop()
        let (transport, peer) = try transportPair(loop)
        var calls = 0
        transport.onReady = { calls += 1 }
        transport.gather(1000)
        #expect(transport.receiveAll().1 == .wouldBlock)
        peer.send([1])
        #expect(!loop.run(until: { calls > 0 }, within: .milliseconds(20)))
        transport.gather(1)
        #expect(loop.run(until: { calls > 0 }))
        #expect(transport.receiveAll().0 == [1])
    }

    /// Only where there was room for more is nothing left: no edge would tell of what is.
    @Test func whoAwaitsMoreIsToldOfIt() throws {
        let loop = try EventLoop()
        let (transport, peer) = try transportPair(loop)
        var calls = 0
        transport.onReady = { calls += 1 }
        #expect(transport.receiveAll().1 == .wouldBlock)
        peer.send([UInt8](repeating: 1, count: 30))
        #expect(loop.run(until: { calls == 1 }))
        for (limit, count) in [(10, 10), (10, 10), (100, 10)] {
            #expect(transport.receiveBytes(upTo: limit).0.count == count)
            transport.awaitMore()
        }
        #expect(transport.receiveAll().1 == .wouldBlock)
        peer.send([2])
        #expect(loop.run(until: { calls == 2 }))
        #expect(transport.receiveAll().0 == [2])
    }

    @Test func whoPeeksIsToldOfMore() throws {
        let loop = try EventLoop()
        let (transport, peer) = try transportPair(loop)
        peer.send([1])
        var peeked = 0
        func look() {
            var bytes = [UInt8](repeating: 0, count: 10)
            if case .bytes(let count) = bytes.withUnsafeMutableBytes({ transport.peek(into: $0) }) { peeked = count }
        }
        transport.onReady = { look() }
        transport.wake()
        #expect(loop.run(until: { peeked == 1 }))
        peer.send([2, 3])
        #expect(loop.run(until: { peeked == 3 }))
        #expect(transport.receiveAll().0 == [1, 2, 3])
    }

    @Test func aFullSocketBlocksAndWakesWhenThePeerReads() throws {
        let loop = try EventLoop()
        let (transport, peer) = try transportPair(loop)
        let block = [UInt8](repeating: 7, count: 256 * 1024)
        var sent = 0
        while case .bytes(let count) = transport.sendBytes(block) { sent += count }
        #expect(transport.sendBytes(block) == .wouldBlock)
        var isAwake = false
        transport.onReady = { [unowned transport] in
            if case .bytes(let count) = transport.sendBytes([8]) {
                sent += count
                isAwake = true
            }
        }
        var received = 0
        #expect(
            loop.run(until: {
                while let bytes = peer.receive(), !bytes.isEmpty { received += bytes.count }
                return isAwake && received == sent
            }))
    }

    @Test func halfClosingLeavesReadingOpen() throws {
        let loop = try EventLoop()
        let (transport, peer) = try transportPair(loop)
        #expect(transport.sendBytes([1]) == .bytes(1))
        transport.finishWriting()
        var received: [[UInt8]] = []
        #expect(
            loop.run(until: {
                while let bytes = peer.receive() {
                    received.append(bytes)
                    if bytes.isEmpty { return true }
                }
                return false
            }))
        #expect(received == [[1], []])
        peer.send([2])
        var answer: [UInt8] = []
        transport.onReady = { [unowned transport] in answer += transport.receiveAll().0 }
        transport.wake()
        #expect(loop.run(until: { answer == [2] }))
    }

    @Test func resettingIsSeenAsResetAndClosingAsFIN() throws {
        let loop = try EventLoop()
        let (reset, peerOfReset) = try transportPair(loop)
        reset.reset()
        var code: Int32 = 0
        #expect(
            loop.run(until: {
                var byte: UInt8 = 0
                guard recv(peerOfReset.descriptor, &byte, 1, Int32(MSG_DONTWAIT)) < 0, errno != EAGAIN else { return false }
                code = errno
                return true
            }))
        #expect(code == ECONNRESET)
        let (closed, peerOfClosed) = try transportPair(loop)
        closed.close()
        #expect(loop.run(until: { peerOfClosed.receive() == [] }))
    }

    @Test func aPeersResetFailsWithItsReason() throws {
        let loop = try EventLoop()
        let (transport, peer) = try transportPair(loop)
        #expect(transport.receiveAll().1 == .wouldBlock)
        var end: IOResult?
        transport.onReady = { [unowned transport] in
            let result = transport.receiveAll().1
            if result != .wouldBlock { end = result }
        }
        peer.abort()
        #expect(loop.run(until: { end != nil }))
        #expect(end == .failed(errno: ECONNRESET))
        #expect(transport.sendBytes([1]) == .failed(errno: EPIPE))
    }

    /// What came before the RST was sent and is read: only then does the connection look broken.
    @Test func bytesInFrontOfAResetAreRead() throws {
        let loop = try EventLoop()
        let (transport, peer) = try transportPair(loop)
        peer.send([1, 2, 3])
        var seen: [UInt8] = []
        var end: IOResult?
        let timer = LoopTimer(loop: loop) { [unowned transport] in
            peer.abort()
            let (bytes, result) = transport.receiveAll()
            seen = bytes
            end = result
        }
        timer.start(after: .milliseconds(20))
        #expect(loop.run(until: { end != nil }))
        #expect(seen == [1, 2, 3])
        #expect(end == .failed(errno: ECONNRESET))
    }

    @Test func aTransportMayGoInItsOwnCallback() throws {
        let loop = try EventLoop()
        var (transport, peer): (SocketTransport?, RawSocket) = try transportPair(loop)
        #expect(transport?.receiveAll().1 == .wouldBlock)
        var called = false
        transport?.onReady = {
            called = true
            transport = nil
        }
        peer.send([1])
        #expect(loop.run(until: { called }))
        #expect(transport == nil)
        #expect(!loop.run(until: { false }, within: .milliseconds(20)))
    }

    @Test func aClosedTransportFailsAndStaysSilent() throws {
        let loop = try EventLoop()
        let (transport, peer) = try transportPair(loop)
        var calls = 0
        transport.onReady = { calls += 1 }
        transport.close()
        peer.send([1])
        transport.wake()
        #expect(!loop.run(until: { calls > 0 }, within: .milliseconds(20)))
        #expect(transport.receiveBytes().1 == .failed(errno: EBADF))
        #expect(transport.sendBytes([1]) == .failed(errno: EBADF))
    }

    /// The kernel gives the lowest number that is free, so what is opened next has the closed one's.
    @Test func aConnectionWithTheNumberOfOneThatWasClosedIsHeard() throws {
        let loop = try EventLoop()
        let listening = try Socket.listening(on: SocketAddress(ip: loopback, port: 0))
        let (first, firstPeer) = try transportPair(loop)
        let secondPeer = RawSocket.connected(to: address(of: listening))
        #expect(first.receiveAll().1 == .wouldBlock)
        var second: SocketTransport?
        var seen: [UInt8] = []
        first.onReady = {
            first.close()
            while second == nil {
                guard let socket = try? Socket.accept(from: listening.descriptor) else { continue }
                second = try? SocketTransport(socket, loop: loop)
            }
            _ = second?.receiveAll()
            second?.onReady = { seen += second?.receiveAll().0 ?? [] }
        }
        firstPeer.send([1])
        #expect(loop.run(until: { second != nil }))
        secondPeer.send([2])
        #expect(loop.run(until: { seen == [2] }))
        second?.close()
    }

    @Test func acceptedConnectionsHaveTheirListenersOptions() throws {
        let listening = try Socket.listening(on: SocketAddress(ip: loopback, port: 0))
        let peer = RawSocket.connected(to: address(of: listening))
        while true {
            guard let accepted = try Socket.accept(from: listening.descriptor) else { continue }
            func option(_ level: Int32, _ name: Int32) -> Int32 {
                var value: Int32 = -1
                var length = socklen_t(MemoryLayout<Int32>.size)
                getsockopt(accepted.descriptor, level, name, &value, &length)
                return value
            }
            #expect(option(Int32(IPPROTO_TCP), TCP_NODELAY) == 1)
            #expect(option(SOL_SOCKET, SO_OOBINLINE) == 1)
            #expect(option(SOL_SOCKET, SO_KEEPALIVE) == 1)
            #expect(option(Int32(IPPROTO_TCP), TCP_KEEPIDLE) == 60)
            #expect(option(Int32(IPPROTO_TCP), TCP_KEEPINTVL) == 10)
            #expect(option(Int32(IPPROTO_TCP), TCP_KEEPCNT) == 6)
            break
        }
        withExtendedLifetime(peer) {}
    }

    @Test func urgentDataComesInLine() throws {
        let loop = try EventLoop()
        let (transport, peer) = try transportPair(loop)
        var seen: [UInt8] = []
        transport.onReady = { [unowned transport] in seen += transport.receiveAll().0 }
        transport.wake()
        peer.send([1])
        var mark: UInt8 = 242
        send(peer.descriptor, &mark, 1, Int32(MSG_OOB))
        peer.send([2])
        #expect(loop.run(until: { seen.count == 3 }))
        #expect(seen == [1, 242, 2])
    }

    @Test func addressesOfAnIPv4ClientOnASocketOfBothFamiliesArePlainIPv4() throws {
        let loop = try EventLoop()
        let listening = try Socket.listening(on: SocketAddress(ip: .anyV6, port: 0))
        let port = address(of: listening).port
        let peer = RawSocket.connected(to: SocketAddress(ip: loopback, port: port))
        var accepted: SocketTransport?
        while accepted == nil {
            if let socket = try Socket.accept(from: listening.descriptor) { accepted = try SocketTransport(socket, loop: loop) }
        }
        #expect(accepted?.localAddress == SocketAddress(ip: loopback, port: port))
        #expect(accepted?.peerAddress.ip == loopback)
        withExtendedLifetime(peer) {}
    }
}
