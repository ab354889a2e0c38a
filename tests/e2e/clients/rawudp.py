# SPDX-License-Identifier: ISC
"""Client "gstreamer-raw": a GStreamer pipeline with plain RTP (PCMA) and RTCP over raw UDP (XEP-0177).

One socket per component, for sending and receiving.
"""

import secrets
import socket

import gi

from rpc import serve
from sdp import RTP
from transports import RAW, own_address
from xmpp import JINGLE, JingleUser, element

gi.require_version("Gst", "1.0")
from gi.repository import Gio, Gst  # noqa: E402, after require_version

Gst.init(None)

# rtpbin makes and reads the RTCP of session 0.
PIPELINE = """
rtpbin name=bin
audiotestsrc is-live=true samplesperbuffer=160 ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay !
  bin.send_rtp_sink_0
bin.send_rtp_src_0 ! udpsink name=sink1 sync=false async=false
bin.send_rtcp_src_0 ! udpsink name=sink2 sync=false async=false
udpsrc name=source1 caps="application/x-rtp,media=audio,clock-rate=8000,encoding-name=PCMA,payload=8"
  ! bin.recv_rtp_sink_0
udpsrc name=source2 ! bin.recv_rtcp_sink_0
"""
COMPONENTS = (1, 2)


class RawUser(JingleUser):
    def __init__(self):
        super().__init__()
        self.pipeline = None
        self.packets = {1: 0, 2: 0}
        self.last = self.first = None

    def _prepare(self):
        """A pipeline whose sockets exist, so that their ports can be told."""
        self.pipeline = Gst.parse_launch(PIPELINE)
        self.sockets = {}
        for component in COMPONENTS:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(("0.0.0.0", 0))
            self.sockets[component] = sock
            shared = Gio.Socket.new_from_fd(sock.fileno())
            for name in ("source", "sink"):
                part = self.pipeline.get_by_name(f"{name}{component}")
                part.set_property("socket", shared)
                part.set_property("close-socket", False)
            source = self.pipeline.get_by_name(f"source{component}")
            source.get_static_pad("src").add_probe(
                Gst.PadProbeType.BUFFER, self._count, component)
        self.pipeline.get_by_name("bin").connect("pad-added", self._pad_added)

    def _count(self, _, info, component):
        if component == 1:
            data = info.get_buffer().extract_dup(2, 2)
            number = int.from_bytes(data, "big")
            self.first = number if self.first is None else self.first
            self.last = number
        self.packets[component] += 1  # last: stats() comes from another thread
        return Gst.PadProbeReturn.OK

    def _pad_added(self, _, pad):
        if not pad.get_name().startswith("recv_rtp_src"):
            return
        sink = Gst.ElementFactory.make("fakesink")
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def _describe(self, jingle):
        content = element(jingle, JINGLE, "content", creator="initiator", name="voice",
                          senders="both")
        description = element(content, RTP, "description", media="audio")
        element(description, RTP, "payload-type", id=8, name="PCMA", clockrate=8000)
        transport = element(content, RAW, "transport")
        for component, sock in self.sockets.items():
            element(transport, RAW, "candidate", component=component, generation=0,
                    id=secrets.token_hex(5), ip=own_address(), port=sock.getsockname()[1])

    def _run(self, jingle):
        """Sends to where the peer says that it is."""
        for candidate in jingle.iter(f"{{{RAW}}}candidate"):
            sink = self.pipeline.get_by_name(f"sink{candidate.get('component')}")
            sink.set_property("host", candidate.get("ip"))
            sink.set_property("port", int(candidate.get("port")))
        self.pipeline.set_state(Gst.State.PLAYING)

    async def call(self, to, kinds):
        self.begin(to)
        self._prepare()
        jingle = self.jingle("session-initiate")
        self._describe(jingle)
        await self.send(jingle)
        return {"sid": self.sid}

    async def on_initiate(self, jingle):
        self._prepare()
        accept = self.jingle("session-accept")
        self._describe(accept)
        await self.send(accept)
        self._run(jingle)

    async def on_accept(self, jingle):
        self._run(jingle)

    async def stats(self):
        expected = (self.last - self.first) % 65536 + 1 if self.packets[1] else 0
        return {"state": "connected" if self.packets[1] else "new", "ended": self.ended,
                "in": {"audio": {"packets": self.packets[1], "bytes": 0,
                                 "lost": expected - self.packets[1]},
                       "rtcp": {"packets": self.packets[2], "bytes": 0, "lost": 0}},
                "out": {}, "pairs": []}


if __name__ == "__main__":
    serve(RawUser())
