# SPDX-License-Identifier: ISC
"""Jingle transports for plain.py: ICE-UDP by aioice (XEP-0176) and raw UDP (XEP-0177).

A transport has prepare(), describe(content), learn(element), connect(), send(component, data),
pairs() and close(), and hands what it receives to on_data(component, data).
"""

import asyncio
import secrets
import socket

import aioice

from sdp import ICE, candidate_to_jingle, candidate_to_sdp
from xmpp import element

RAW = "urn:xmpp:jingle:transports:raw-udp:1"


class Connection(aioice.Connection):
    def check_incoming(self, message, addr, protocol):
        """aioice looks for a remote candidate by its address alone, and gives up where two
        components have the same one, as they have at a relay with one port for all."""
        component = protocol.local_candidate.component
        everybody = self._remote_candidates
        self._remote_candidates = [c for c in everybody if c.component == component]
        super().check_incoming(message, addr, protocol)
        self._remote_candidates += [c for c in everybody if c.component != component]


class IceTransport:
    namespace = ICE

    def __init__(self, controlling, components, on_data):
        self.ice = Connection(ice_controlling=controlling, components=components)
        self.on_data = on_data
        self.tasks = []

    async def prepare(self):
        await self.ice.gather_candidates()

    def describe(self, content):
        transport = element(content, ICE, "transport", ufrag=self.ice.local_username,
                            pwd=self.ice.local_password)
        for candidate in self.ice.local_candidates:
            candidate_to_jingle(transport, candidate.to_sdp())

    async def learn(self, transport):
        self.ice.remote_username = transport.get("ufrag")
        self.ice.remote_password = transport.get("pwd")
        for candidate in transport.iter(f"{{{ICE}}}candidate"):
            if candidate.get("protocol") == "udp":
                text = candidate_to_sdp(candidate).removeprefix("candidate:")
                await self.ice.add_remote_candidate(aioice.Candidate.from_sdp(text))

    async def connect(self):
        await self.ice.connect()
        self.tasks.append(asyncio.ensure_future(self._receive()))

    async def _receive(self):
        while True:
            data, component = await self.ice.recvfrom()
            self.on_data(component, data)

    async def send(self, component, data):
        await self.ice.sendto(data, component)

    def pairs(self):
        return [{"local": pair.local_candidate.type, "remote": pair.remote_candidate.type,
                 "address": "%s:%d" % tuple(pair.remote_addr[:2])}
                for pair in self.ice._nominated.values()]

    async def _check(self, pair):
        request = self.ice.build_request(pair, nominate=True)
        await pair.protocol.request(request, pair.remote_addr,
                                    integrity_key=self.ice.remote_password.encode())

    async def roam(self, address):
        """Goes on from another local address, as a telephone does that leaves its Wi-Fi: nominates
        the pair of that address with the same peer."""
        for component, old in list(self.ice._nominated.items()):
            pair = next(p for p in self.ice._check_list
                        if p.component == component and p.remote_addr == old.remote_addr
                        and p.local_candidate.host == address)
            await self._check(pair)
            self.ice._nominated[component] = pair

    async def checks(self, count):
        """Sends many connectivity checks, each a fresh transaction."""
        for _ in range(count):
            for pair in self.ice._nominated.values():
                await self._check(pair)

    async def close(self):
        for task in self.tasks:
            task.cancel()
        await self.ice.close()


class RawTransport:
    namespace = RAW

    def __init__(self, controlling, components, on_data):
        self.components = range(1, components + 1)
        self.on_data = on_data
        self.sockets = {}
        self.remote = {}

    async def prepare(self):
        loop = asyncio.get_running_loop()
        for component in self.components:
            endpoint = _Endpoint(component, self.on_data)
            self.sockets[component], _ = await loop.create_datagram_endpoint(
                lambda e=endpoint: e, local_addr=("0.0.0.0", 0))

    def describe(self, content):
        transport = element(content, RAW, "transport")
        for component, sock in self.sockets.items():
            element(transport, RAW, "candidate", component=component, generation=0,
                    id=secrets.token_hex(5), ip=own_address(), port=sock.get_extra_info("sockname")[1])

    async def learn(self, transport):
        for candidate in transport.iter(f"{{{RAW}}}candidate"):
            address = candidate.get("ip"), int(candidate.get("port"))
            self.remote[int(candidate.get("component"))] = address

    async def connect(self):
        """There is nothing to negotiate."""

    async def send(self, component, data):
        self.sockets[component].sendto(data, self.remote[component])

    def pairs(self):
        return [{"local": "raw", "remote": "raw", "address": "%s:%d" % address}
                for address in self.remote.values()]

    async def close(self):
        for sock in self.sockets.values():
            sock.close()


class _Endpoint(asyncio.DatagramProtocol):
    def __init__(self, component, on_data):
        self.component = component
        self.on_data = on_data

    def datagram_received(self, data, _):
        self.on_data(self.component, data)


def own_address():
    """The address from which the internet is reached."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("203.0.113.1", 9))
        return sock.getsockname()[0]


TRANSPORTS = {"ice": IceTransport, "raw": RawTransport}
