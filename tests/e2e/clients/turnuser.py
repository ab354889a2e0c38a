# SPDX-License-Identifier: ISC
"""Client "aioice-turn": aioice's TURN client by itself, one process with as many allocations as the
driver asks for, each known by a name.

What it sends is numbered; what comes back to it is counted by number.
"""

import asyncio
import socket
import struct

from aioice import stun
from aioice.turn import (TurnClientTcpProtocol, TurnClientUdpProtocol, UDP_TRANSPORT,
                         TurnTransport, create_turn_endpoint)

from rpc import serve

# aioice itself only sends data by channels.
DATA = (0x0013, "DATA", stun.pack_bytes, stun.unpack_bytes)
stun.ATTRIBUTES_BY_NAME["DATA"] = stun.ATTRIBUTES_BY_TYPE[DATA[0]] = DATA

NUMBER = struct.Struct("!I")


class Receiver(asyncio.DatagramProtocol):
    def __init__(self):
        self.numbers = []
        self.lost = None

    def connection_made(self, _):
        """aioice calls it."""

    def datagram_received(self, data, _):
        self.numbers.append(NUMBER.unpack_from(data)[0])

    def connection_lost(self, error):
        self.lost = str(error)


class User:
    def __init__(self):
        self.all = {}  # name: (transport, receiver)

    async def _attempt(self, work):
        """An error of the server is a result, and not a failure of the question."""
        try:
            return await work
        except stun.TransactionFailed as error:
            return {"error": error.response.attributes["ERROR-CODE"][0]}

    async def allocate(self, name, server, port, username, password, transport="udp", tls=False,
                       lifetime=600):
        return await self._attempt(self._allocate(
            name, (server, port), username=username, password=password, lifetime=lifetime,
            ssl=tls, transport=transport))

    async def _allocate(self, name, server, **options):
        transport, receiver = await create_turn_endpoint(Receiver, server, **options)
        self.all[name] = transport, receiver
        inner = self._inner(name).transport
        return {"relayed": transport.get_extra_info("sockname"),
                "local": inner.get_extra_info("sockname"),
                "certificate": self._serial(inner)}

    @staticmethod
    def _serial(transport):
        tls = transport.get_extra_info("ssl_object")
        return tls and tls.getpeercert()["serialNumber"]

    def _inner(self, name):
        return self.all[name][0]._TurnTransport__inner_protocol

    async def allocate_from(self, name, local_port, server, port, username, password):
        """The same over UDP from a port of one's choice."""
        _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: TurnClientUdpProtocol((server, port), username, password, 600, 500),
            local_addr=("0.0.0.0", local_port), remote_addr=(server, port))
        return await self._connect(name, protocol)

    async def allocate_slowly(self, name, server, port, username, password, buffer):
        """The same over TCP with a small receive buffer."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (server, port))
        _, protocol = await loop.create_connection(
            lambda: TurnClientTcpProtocol((server, port), username, password, 600, 500), sock=sock)
        return await self._connect(name, protocol)

    async def _connect(self, name, protocol):
        transport = TurnTransport(Receiver(), protocol)
        answer = await self._attempt(protocol.connect())
        if isinstance(answer, dict):
            protocol.transport.close()
            return answer
        self.all[name] = transport, transport.protocol
        return {"relayed": answer, "local": protocol.transport.get_extra_info("sockname")}

    async def send(self, name, peer, count=1, first=0, size=160, pause=0.002):
        """Sends so many packets with ascending numbers."""
        transport, _ = self.all[name]
        for number in range(first, first + count):
            transport.sendto(NUMBER.pack(number).ljust(size, b"."), tuple(peer))
            await asyncio.sleep(pause)

    async def bind(self, name, peer, channel=0x4800):
        """Binds a channel, of which aioice knows nothing afterwards; returns the error or 0."""
        answer = await self._attempt(self._inner(name).channel_bind(channel, tuple(peer)))
        return answer["error"] if answer else 0

    async def permit(self, name, address):
        """A permission; returns the error or 0."""
        request = stun.Message(message_method=stun.Method.CREATE_PERMISSION,
                               message_class=stun.Class.REQUEST)
        request.attributes["XOR-PEER-ADDRESS"] = (address, 9)
        answer = await self._attempt(self._inner(name).request_with_retry(request))
        return answer["error"] if isinstance(answer, dict) else 0

    async def indicate(self, name, peer, count=1):
        """Send indications instead of a channel."""
        for number in range(count):
            message = stun.Message(message_method=stun.Method.SEND,
                                   message_class=stun.Class.INDICATION)
            message.attributes["XOR-PEER-ADDRESS"] = tuple(peer)
            message.attributes["DATA"] = NUMBER.pack(number)
            self._inner(name).send_stun(message, None)

    async def refresh(self, name, lifetime=600):
        """Returns the lifetime that is left, or the error."""
        request = stun.Message(message_method=stun.Method.REFRESH, message_class=stun.Class.REQUEST)
        request.attributes["LIFETIME"] = lifetime
        answer = await self._attempt(self._inner(name).request_with_retry(request))
        return answer if isinstance(answer, dict) else {"lifetime": answer[0].attributes["LIFETIME"]}

    async def again(self, name):
        """Another allocation from the same 5-tuple."""
        request = stun.Message(message_method=stun.Method.ALLOCATE,
                               message_class=stun.Class.REQUEST)
        request.attributes["LIFETIME"] = 600
        request.attributes["REQUESTED-TRANSPORT"] = UDP_TRANSPORT
        answer = await self._attempt(self._inner(name).request_with_retry(request))
        self._inner(name).peer_to_channel.clear()  # they ended with the old one
        return (answer if isinstance(answer, dict)
                else {"relayed": answer[0].attributes["XOR-RELAYED-ADDRESS"]})

    async def reading(self, name, on):
        inner = self._inner(name).transport
        inner.resume_reading() if on else inner.pause_reading()

    async def received(self, name):
        receiver = self.all[name][1]
        return {"count": len(receiver.numbers), "numbers": sorted(set(receiver.numbers)),
                "lost": receiver.lost}

    async def crash(self, name):
        """The client is gone, and has told nobody."""
        transport, _ = self.all.pop(name)
        inner = transport._TurnTransport__inner_protocol
        inner.refresh_handle.cancel()
        inner.transport.abort()

    async def close(self, name):
        transport, _ = self.all.pop(name)
        await transport._TurnTransport__inner_protocol.delete()


if __name__ == "__main__":
    serve(User())
