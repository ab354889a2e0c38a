# SPDX-License-Identifier: ISC
"""Client "peer-gstreamer": webrtcbin without XMPP, relay only. It understands what peer.cjs does."""

import asyncio
from urllib.parse import quote

from rpc import serve
from stack_gstreamer import Gst, GstWebRTC, Stack


class RelayedStack(Stack):
    def __init__(self, server, on_candidate):
        super().__init__(on_candidate)
        self.server = server

    def _start(self, kinds, payloads):
        super()._start(kinds, payloads)
        self.bin.set_property("turn-server", self.server)
        self.bin.set_property("ice-transport-policy", GstWebRTC.WebRTCICETransportPolicy.RELAY)

    async def gathered(self):
        complete = GstWebRTC.WebRTCICEGatheringState.COMPLETE
        while self.bin.get_property("ice-gathering-state") != complete:
            await asyncio.sleep(0.02)


class Peer:
    def __init__(self):
        self.stack = None
        self.candidates = []

    def _begin(self, url, username, password):
        scheme, _, rest = url.partition(":")
        login = ":".join(quote(part, safe="") for part in (username, password))
        self.stack = RelayedStack(f"{scheme}://{login}@{rest}", self._found)

    def _found(self, content, _ufrag, _pwd, text):
        if text:
            self.candidates.append((content, text))

    async def _described(self, sdp):
        await asyncio.wait_for(self.stack.gathered(), 15)
        await asyncio.sleep(0.1)  # candidates come by another thread
        return {"sdp": sdp, "candidates": self.candidates}

    async def _learn(self, description):
        for content, text in description["candidates"]:
            await self.stack.add_candidate(content, text)

    async def offer(self, url, username, password, kinds):
        self._begin(url, username, password)
        return await self._described(await self.stack.offer(kinds))

    async def answer(self, description, url, username, password, kinds):
        self._begin(url, username, password)
        sdp = await self.stack.answer(description["sdp"], kinds)
        await self._learn(description)
        return await self._described(sdp)

    async def accept(self, description):
        await self.stack.accepted(description["sdp"])
        await self._learn(description)

    async def stats(self):
        stats = await self.stack.stats() if self.stack else {"in": {}}
        return {**stats, "ended": None}

    async def hangup(self):
        self.stack.pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    serve(Peer())
