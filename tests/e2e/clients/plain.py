# SPDX-License-Identifier: ISC
"""Client "plain": plain RTP (PCMU) and RTCP over transports that it can replace in mid-call.

For what WebRTC stacks do not do: two components without rtcp-mux, transport-replace, raw UDP, a
change of the local address on request, and many checks.
"""

import asyncio
import secrets
import struct
import time

from rpc import serve
from sdp import RTP
from transports import TRANSPORTS
from xmpp import JINGLE, JingleUser, element

COMPONENTS = 2
RTP_INTERVAL = 0.02


class Media:
    """Sends a stream and counts what comes."""

    def __init__(self):
        self.ssrc = secrets.randbits(32)
        self.sent = self.sent_reports = 0
        self.bytes = self.reports = 0
        self.numbers = set()
        self.duplicates = 0
        self.last_time = None
        self.longest_gap = 0.0

    def packet(self):
        self.sent += 1
        header = struct.pack("!BBHII", 0x80, 0, self.sent & 0xFFFF, self.sent * 160, self.ssrc)
        return header + b"\xff" * 160

    def report(self):
        """An RTCP sender report (RFC 3550 section 6.4.1) without report blocks."""
        self.sent_reports += 1
        return struct.pack("!BBHIIIIII", 0x80, 200, 6, self.ssrc, int(time.time()), 0,
                           self.sent * 160, self.sent, self.sent * 160)

    def received(self, component, data):
        if component == 2 or data[1] in range(192, 224):
            self.reports += 1
            return
        number = struct.unpack_from("!H", data, 2)[0]
        self.duplicates += number in self.numbers
        self.numbers.add(number)
        self.bytes += len(data)
        now = time.monotonic()
        if self.last_time is not None:
            self.longest_gap = max(self.longest_gap, now - self.last_time)
        self.last_time = now

    def lost(self):
        if not self.numbers:
            return 0
        return max(self.numbers) - min(self.numbers) + 1 - len(self.numbers)


class PlainUser(JingleUser):
    def __init__(self):
        super().__init__()
        self.media = Media()
        self.transport = self.next = None
        self.sending = None
        self.accepted = None  # a future while a replacement waits for its answer
        self.content = "voice"

    # --- what the driver asks ---

    async def call(self, to, kinds, transport="ice"):
        assert kinds == ["audio"]
        self.begin(to)
        self.media = Media()
        self.transport = await self._new_transport(transport)
        jingle = self.jingle("session-initiate")
        self._describe(self._content(jingle), self.transport)
        await self.send(jingle)
        return {"sid": self.sid}

    async def replace(self, transport):
        """Replaces the transport in mid-call; returns when media use the new one."""
        self.next = await self._new_transport(transport)
        self.accepted = asyncio.get_running_loop().create_future()
        jingle = self.jingle("transport-replace")
        self.next.describe(self._content(jingle))
        await self.send(jingle)
        await asyncio.wait_for(self.accepted, 15)
        await self._switch()

    async def roam(self, address):
        await self.transport.roam(address)

    async def checks(self, count):
        await self.transport.checks(count)

    async def mark(self):
        """Forgets the longest gap so far."""
        self.media.longest_gap = 0.0

    async def stats(self):
        media = self.media
        return {
            "state": "connected" if self.sending else "new", "ended": self.ended,
            "in": {"audio": {"packets": len(media.numbers), "bytes": media.bytes,
                             "lost": media.lost(), "gap_ms": round(media.longest_gap * 1000)},
                   "rtcp": {"packets": media.reports, "bytes": 0, "lost": 0}},
            "out": {"audio": {"packets": media.sent}, "rtcp": {"packets": media.sent_reports}},
            "pairs": self.transport.pairs() if self.transport else []}

    # --- the session ---

    async def _new_transport(self, kind):
        transport = TRANSPORTS[kind](
            self.initiator, COMPONENTS, lambda *data: self.media.received(*data))
        await transport.prepare()
        return transport

    def _content(self, jingle):
        return element(jingle, JINGLE, "content", creator="initiator", name=self.content,
                       senders="both")

    @staticmethod
    def _describe(content, transport):
        description = element(content, RTP, "description", media="audio")
        element(description, RTP, "payload-type", id=0, name="PCMU", clockrate=8000)
        transport.describe(content)

    @staticmethod
    def _offered(jingle):
        """The transport element of the only content, and its kind."""
        content = jingle.find(f"{{{JINGLE}}}content")
        for kind, transport in TRANSPORTS.items():
            found = content.find(f"{{{transport.namespace}}}transport")
            if found is not None:
                return kind, found
        raise ValueError("no transport that we know")

    async def on_initiate(self, jingle):
        self.media = Media()
        self.content = jingle.find(f"{{{JINGLE}}}content").get("name")
        kind, found = self._offered(jingle)
        self.transport = await self._new_transport(kind)
        await self.transport.learn(found)
        accept = self.jingle("session-accept")
        self._describe(self._content(accept), self.transport)
        await self.send(accept)
        asyncio.ensure_future(self._begin())

    async def on_accept(self, jingle):
        await self.transport.learn(self._offered(jingle)[1])
        asyncio.ensure_future(self._begin())

    async def on_transport_info(self, jingle):
        await (self.next or self.transport).learn(self._offered(jingle)[1])

    async def on_transport_replace(self, jingle):
        kind, found = self._offered(jingle)
        self.next = await self._new_transport(kind)
        await self.next.learn(found)
        accept = self.jingle("transport-accept")
        self.next.describe(self._content(accept))
        await self.send(accept)
        asyncio.ensure_future(self._switch())

    async def on_transport_accept(self, jingle):
        await self.next.learn(self._offered(jingle)[1])
        self.accepted.set_result(None)

    # --- media ---

    async def _begin(self):
        await self.transport.connect()
        self.sending = asyncio.ensure_future(self._send())

    async def _switch(self):
        """Moves media to the next transport as soon as it is connected; the old one goes a little
        later, for what is still under way."""
        await self.next.connect()
        old, self.transport, self.next = self.transport, self.next, None
        await asyncio.sleep(1)
        await old.close()

    async def _send(self):
        start = time.monotonic()
        for count in range(1 << 30):
            await self.transport.send(1, self.media.packet())
            if count % 25 == 0:
                await self.transport.send(2, self.media.report())
            await asyncio.sleep(max(0, start + (count + 1) * RTP_INTERVAL - time.monotonic()))


if __name__ == "__main__":
    serve(PlainUser())
