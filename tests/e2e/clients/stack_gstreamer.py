# SPDX-License-Identifier: ISC
"""GStreamer's webrtcbin as a stack for webrtc.py: ICE by libnice, DTLS-SRTP, Opus and VP8.

It trickles what it gathers. Its signals come in threads of its own and are handed to asyncio here.
"""

import asyncio
import re

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC  # noqa: E402, after require_version

Gst.init(None)

SOURCES = {
    "audio": "audiotestsrc is-live=true ! audioconvert ! audioresample ! opusenc ! rtpopuspay"
             " pt={pt} ! application/x-rtp,media=audio,encoding-name=OPUS,payload={pt} ! w.",
    "video": "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=15/1"
             " ! vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay picture-id-mode=15-bit pt={pt}"
             " ! application/x-rtp,media=video,encoding-name=VP8,payload={pt} ! w.",
}
CODECS = {"audio": "opus/48000/2", "video": "VP8/90000"}
OWN_PAYLOADS = {"audio": 97, "video": 98}


def _payloads(sdp):
    """The payload types that an offer gives to our codecs."""
    found = dict(OWN_PAYLOADS)
    for kind, codec in CODECS.items():
        match = re.search(rf"a=rtpmap:(\d+) {codec}", sdp, re.IGNORECASE)
        if match:
            found[kind] = int(match[1])
    return found


class Stack:
    def __init__(self, on_candidate):
        self.loop = asyncio.get_running_loop()
        self.on_candidate = on_candidate
        self.pipeline = self.bin = None
        self.local = ""
        self.names = []  # of contents, by m-line
        self.early = []  # candidates found before there was a local description
        self.received = {}

    def _start(self, kinds, payloads):
        sources = " ".join(SOURCES[kind].format(pt=payloads[kind]) for kind in kinds)
        self.pipeline = Gst.parse_launch(f"webrtcbin name=w bundle-policy=max-bundle {sources}")
        self.bin = self.pipeline.get_by_name("w")
        self.bin.connect("on-ice-candidate", lambda _, line, text: self.loop.call_soon_threadsafe(
            self._found, line, text))
        self.bin.connect("pad-added", self._pad_added)

    def _pad_added(self, _, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        self.received[kind] = {"packets": 0, "bytes": 0, "lost": 0}

        def count(_, info):
            self.received[kind]["packets"] += 1
            self.received[kind]["bytes"] += info.get_buffer().get_size()
            return Gst.PadProbeReturn.OK

        pad.add_probe(Gst.PadProbeType.BUFFER, count)
        sink = Gst.ElementFactory.make("fakesink")
        sink.set_property("async", False)
        sink.set_property("sync", False)
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def _found(self, line, text):
        if not self.local:
            self.early.append((line, text))
            return
        ufrag = re.search(r"a=ice-ufrag:(\S+)", self.local)[1]
        pwd = re.search(r"a=ice-pwd:(\S+)", self.local)[1]
        self.on_candidate(self.names[line], ufrag, pwd, text)

    async def _signal(self, name, *arguments):
        """Emits a signal that answers by promise; returns the reply."""
        done = self.loop.create_future()
        promise = Gst.Promise.new_with_change_func(
            lambda p, *_: self.loop.call_soon_threadsafe(done.set_result, p))
        self.bin.emit(name, *arguments, promise)
        reply = (await asyncio.wait_for(done, 10)).get_reply()
        if reply and reply.has_field("error"):
            raise RuntimeError(f"webrtcbin refuses {name}; GST_DEBUG=webrtcbin:4 tells why")
        return reply

    async def _describe(self, kind):
        """Creates the offer or answer and makes it the local description."""
        reply = await self._signal(f"create-{kind}", None)
        description = reply.get_value(kind)
        self.names = re.findall(r"a=mid:(\S+)", description.sdp.as_text())
        await self._signal("set-local-description", description)
        self.local = description.sdp.as_text()
        for found in self.early:
            self._found(*found)
        return self.local

    async def _remote(self, kind, sdp):
        _, message = GstSdp.SDPMessage.new_from_text(sdp)
        await self._signal("set-remote-description", GstWebRTC.WebRTCSessionDescription.new(
            getattr(GstWebRTC.WebRTCSDPType, kind), message))

    async def offer(self, kinds):
        self._start(kinds, OWN_PAYLOADS)
        negotiate = asyncio.Event()
        self.bin.connect("on-negotiation-needed", lambda _: self.loop.call_soon_threadsafe(
            negotiate.set))
        self.pipeline.set_state(Gst.State.PLAYING)
        await asyncio.wait_for(negotiate.wait(), 10)
        return await self._describe("offer")

    async def answer(self, sdp, kinds):
        self._start(kinds, _payloads(sdp))
        self.pipeline.set_state(Gst.State.PLAYING)
        await self._remote("OFFER", sdp)
        return await self._describe("answer")

    async def accepted(self, sdp):
        await self._remote("ANSWER", sdp)

    async def add_candidate(self, content, text):
        self.bin.emit("add-ice-candidate", self.names.index(content), text)

    async def stats(self):
        state = self.bin.get_property("connection-state").value_nick if self.bin else "new"
        return {"state": state, "in": self.received, "out": {}, "pairs": []}
