# SPDX-License-Identifier: ISC
"""aiortc as a stack for webrtc.py: ICE by aioice, DTLS-SRTP, Opus and VP8 of synthetic media.

It gathers before it offers or answers, and so never trickles; what the peer trickles it takes.
"""

import re

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from aiortc.sdp import candidate_from_sdp

# aiortc 1.4 gives one id to different header extensions of a bundle and trips over it.
UNWANTED = re.compile(r"(?m)^a=extmap:(?!.*sdes:mid).*\r?\n")
TRACKS = {"audio": AudioStreamTrack, "video": VideoStreamTrack}


class Stack:
    def __init__(self, _on_candidate):
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.sink = MediaBlackhole()

        @self.pc.on("track")
        async def on_track(track):
            self.sink.addTrack(track)
            await self.sink.start()

    def _add_tracks(self, kinds):
        for kind in kinds:
            self.pc.addTrack(TRACKS[kind]())

    async def offer(self, kinds):
        self._add_tracks(kinds)
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return UNWANTED.sub("", self.pc.localDescription.sdp)

    async def answer(self, sdp, kinds):
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        self._add_tracks(kinds)
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        return self.pc.localDescription.sdp

    async def accepted(self, sdp):
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def add_candidate(self, content, text):
        candidate = candidate_from_sdp(text.removeprefix("candidate:"))
        if candidate.protocol == "udp":  # all that aioice speaks
            candidate.sdpMid = content
            await self.pc.addIceCandidate(candidate)

    def _pairs(self):
        transports = {t.sender.transport.transport for t in self.pc.getTransceivers()}
        for transport in transports:
            for pair in transport._connection._nominated.values():
                host, port = pair.remote_addr
                yield {"local": pair.local_candidate.type, "remote": pair.remote_candidate.type,
                       "address": f"{host}:{port}"}

    async def stats(self):
        stats = {"state": self.pc.connectionState, "in": {}, "out": {}, "pairs": []}
        for row in (await self.pc.getStats()).values():
            if row.type == "inbound-rtp":
                stats["in"][row.kind] = {"packets": row.packetsReceived, "bytes": 0,
                                         "lost": row.packetsLost}
            elif row.type == "outbound-rtp":
                stats["out"][row.kind] = {"packets": row.packetsSent}
        stats["pairs"] = list(self._pairs())
        return stats
