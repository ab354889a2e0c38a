# SPDX-License-Identifier: ISC
"""Client "libnice-google": plain RTP (PCMA) and RTCP by GStreamer over libnice in Google's mode, as
Gabble and Pidgin had it: checks without magic cookie and password, a name for every candidate.

It calls in Jingle with Google's transport, or in Google's own session; candidates follow the offer
one by one.
"""

import asyncio
import threading

import gi

from candidates import add_remote_candidate, local_candidates
from rawudp import COMPONENTS, PIPELINE, RawUser
from rpc import serve
from sdp import RTP
from xmpp import JINGLE, element
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

gi.require_version("Gst", "1.0")
gi.require_version("Nice", "0.1")
from gi.repository import GLib, Gst, Nice  # noqa: E402, after require_version

P2P = "http://www.google.com/transport/p2p"
SESSION = "http://www.google.com/session"
PHONE = "http://www.google.com/session/phone"
NAMES = {"rtp": 1, "rtcp": 2}
TYPES = {"local": Nice.CandidateType.HOST, "stun": Nice.CandidateType.SERVER_REFLEXIVE,
         "relay": Nice.CandidateType.RELAYED}
ACTIONS = {"initiate": "session-initiate", "candidates": "transport-info",
           "accept": "session-accept", "terminate": "session-terminate"}
OVER_NICE = (PIPELINE.replace("udpsink", "nicesink").replace("sync=false async=false", "sync=false")
             .replace('udpsrc name=source1 caps="', "nicesrc name=source1 ! ")
             .replace('payload=8"', "payload=8").replace("udpsrc", "nicesrc"))


class GoogleUser(RawUser):
    def __init__(self):
        super().__init__()
        self.old = False  # Google's session instead of Jingle
        self.selected = {}
        threading.Thread(target=GLib.MainLoop().run, daemon=True).start()

    async def connect(self, *arguments, **options):
        result = await super().connect(*arguments, **options)
        self.xmpp.register_handler(Callback(
            "session", MatchXPath(f"{{jabber:client}}iq/{{{SESSION}}}session"), self._google))
        return result

    # --- Google's session, as the Jingle that it means ---

    def _google(self, iq):
        if iq["type"] != "set":
            return
        session = iq.xml.find(f"{{{SESSION}}}session")
        if session.get("type") == "initiate":
            self.peer, self.sid, self.old = iq["from"].full, session.get("id"), True
            self.initiator, self.ended = False, None
        session.set("action", ACTIONS.get(session.get("type"), "session-info"))
        if session.get("type") == "terminate":
            element(element(session, JINGLE, "reason"), JINGLE, "success")
        iq.reply(clear=True).send()
        self.inbox.put_nowait(session)

    def jingle(self, action):
        if not self.old:
            return super().jingle(action)
        types = {jingle: google for google, jingle in ACTIONS.items()}
        initiator = self.xmpp.boundjid.full if self.initiator else self.peer
        return element(None, SESSION, "session", type=types[action], id=self.sid,
                       initiator=initiator)

    def _describe(self, jingle):
        if self.old:
            description = element(jingle, PHONE, "description")
            element(description, PHONE, "payload-type", id=8, name="PCMA", clockrate=8000)
        else:
            content = self._content(jingle)
            description = element(content, RTP, "description", media="audio")
            element(description, RTP, "payload-type", id=8, name="PCMA", clockrate=8000)
            element(content, P2P, "transport")

    @staticmethod
    def _content(jingle):
        return element(jingle, JINGLE, "content", creator="initiator", name="voice",
                       senders="both")

    def _place(self, jingle):
        """Where candidates stand, and their namespace."""
        if self.old:
            return jingle, SESSION
        return element(self._content(jingle), P2P, "transport"), P2P

    # --- libnice ---

    def _prepare(self):
        self.agent = Nice.Agent.new(GLib.MainContext.default(), Nice.Compatibility.GOOGLE)
        self.agent.set_property("upnp", False)
        self.agent.set_property("ice-tcp", False)
        # There are no roles: who is not controlling would wait for a nomination that nobody sends.
        self.agent.set_property("controlling-mode", True)
        self.stream = self.agent.add_stream(len(COMPONENTS))
        self.agent.connect("new-selected-pair-full", self._chosen)
        self.pipeline = Gst.parse_launch(OVER_NICE)
        for component in COMPONENTS:
            for name in ("source", "sink"):
                part = self.pipeline.get_by_name(f"{name}{component}")
                part.set_property("agent", self.agent)
                part.set_property("stream", self.stream)
                part.set_property("component", component)
            source = self.pipeline.get_by_name(f"source{component}")
            source.get_static_pad("src").add_probe(
                Gst.PadProbeType.BUFFER, self._count, component)
        self.pipeline.get_by_name("bin").connect("pad-added", self._pad_added)
        self.pipeline.set_state(Gst.State.PLAYING)  # it reads from the agent, which lives by that

    def _chosen(self, _agent, _stream, component, local, remote):
        self.selected[component] = {"local": local.type.value_nick, "remote": remote.type.value_nick}

    async def _gather(self):
        done, loop = asyncio.Event(), asyncio.get_running_loop()
        self.agent.connect("candidate-gathering-done",
                           lambda *_: loop.call_soon_threadsafe(done.set))
        self.agent.gather_candidates(self.stream)
        await asyncio.wait_for(done.wait(), 10)

    async def _tell(self):
        """One candidate to a stanza, as wocky does it."""
        for name, component in NAMES.items():
            for address, port, username in local_candidates(self.agent, self.stream, component):
                jingle = self.jingle("transport-info")
                place, namespace = self._place(jingle)
                element(place, namespace, "candidate", name=name, address=address, port=port,
                        username=username, password=username, preference=1, protocol="udp",
                        type="local", network=0, generation=0)
                await self.send(jingle)

    def _learn(self, jingle):
        for candidate in jingle.iter():
            if candidate.tag.split("}")[1] != "candidate":
                continue
            component = NAMES[candidate.get("name")]
            add_remote_candidate(
                self.agent, self.stream, component, TYPES[candidate.get("type")],
                candidate.get("address"), int(candidate.get("port")), candidate.get("username"),
                round(float(candidate.get("preference")) * 1000))

    # --- the call ---

    async def call(self, to, kinds, dialect="jingle"):
        self.old = dialect == "session"
        self.begin(to)
        self._prepare()
        await self._gather()
        jingle = self.jingle("session-initiate")
        self._describe(jingle)
        await self.send(jingle)
        await self._tell()
        return {"sid": self.sid}

    async def on_initiate(self, _jingle):
        self._prepare()
        await self._gather()
        await self._tell()
        accept = self.jingle("session-accept")
        self._describe(accept)
        await self.send(accept)

    async def on_accept(self, _jingle):
        """Nothing more is said: the candidates were."""

    async def on_transport_info(self, jingle):
        self._learn(jingle)

    async def stats(self):
        return {**await super().stats(), "pairs": list(self.selected.values())}


if __name__ == "__main__":
    serve(GoogleUser())
