# SPDX-License-Identifier: ISC
"""Clients "aiortc" and "libnice": a WebRTC stack that speaks SDP, behind slixmpp.

Usage: webrtc.py aiortc|gstreamer. No STUN or TURN server is configured. A stack has offer(kinds),
answer(sdp), accepted(sdp), add_candidate(content, text), stats(), and calls on_candidate(content,
text) for what it finds after its offer or answer.
"""

import asyncio
import importlib
import sys

from rpc import serve
from sdp import ICE, candidate_to_jingle, candidate_to_sdp, kinds, to_jingle, to_sdp
from xmpp import JINGLE, JingleUser, element


class WebRtcUser(JingleUser):
    def __init__(self, stack):
        super().__init__()
        self.new_stack = stack
        self.stack = None
        self.found = asyncio.Queue()  # our candidates; sent once the session is known to the peer

    def _renew(self):
        self.found = asyncio.Queue()
        self.stack = self.new_stack(lambda *found: self.found.put_nowait(found))

    async def call(self, to, kinds):
        self.begin(to)
        self._renew()
        jingle = self.jingle("session-initiate")
        to_jingle(jingle, await self.stack.offer(kinds))
        await self.send(jingle)
        self.trickle = asyncio.ensure_future(self._trickle())
        return {"sid": self.sid}

    async def on_initiate(self, jingle):
        self._renew()
        answer = self.jingle("session-accept")
        to_jingle(answer, await self.stack.answer(to_sdp(jingle), self.kinds or kinds(jingle)))
        await self.send(answer)
        self.trickle = asyncio.ensure_future(self._trickle())

    async def on_accept(self, jingle):
        await self.stack.accepted(to_sdp(jingle))

    async def on_transport_info(self, jingle):
        for content in jingle.findall(f"{{{JINGLE}}}content"):
            for candidate in content.iter(f"{{{ICE}}}candidate"):
                await self.stack.add_candidate(content.get("name"), candidate_to_sdp(candidate))

    async def _trickle(self):
        while True:
            name, ufrag, pwd, text = await self.found.get()
            jingle = self.jingle("transport-info")
            content = element(jingle, JINGLE, "content", creator="initiator", name=name)
            transport = element(content, ICE, "transport", ufrag=ufrag, pwd=pwd)
            candidate_to_jingle(transport, text)
            await self.send(jingle)

    async def stats(self):
        stats = {"state": "new", "in": {}, "out": {}, "pairs": []}
        if self.stack:
            stats = await self.stack.stats()
        return {**stats, "ended": self.ended}


if __name__ == "__main__":
    serve(WebRtcUser(importlib.import_module(f"stack_{sys.argv[1]}").Stack))
