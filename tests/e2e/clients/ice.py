# SPDX-License-Identifier: ISC
"""Clients "ice-aioice" and "ice-libnice": an ICE agent (RFC 8445) by itself, one component, with
relayed candidates only. Usage: ice.py aioice|libnice.

The driver carries credentials and candidates from one to the other, then has them send packets.
"""

import asyncio
import contextlib
import sys
import threading

import aioice

from rpc import serve


class Aioice:
    def __init__(self):
        self.agent = None
        self.count = 0

    async def gather(self, server, port, transport, username, password, controlling):
        self.agent = aioice.Connection(
            ice_controlling=controlling, transport_policy=aioice.TransportPolicy.RELAY,
            turn_server=(server, port), turn_username=username, turn_password=password,
            turn_ssl=transport == "tls", turn_transport="udp" if transport == "udp" else "tcp")
        await self.agent.gather_candidates()
        return {"ufrag": self.agent.local_username, "pwd": self.agent.local_password,
                "candidates": [c.to_sdp() for c in self.agent.local_candidates]}

    async def connect(self, ufrag, pwd, candidates):
        self.agent.remote_username, self.agent.remote_password = ufrag, pwd
        for candidate in candidates:
            await self.agent.add_remote_candidate(aioice.Candidate.from_sdp(candidate))
        await self.agent.add_remote_candidate(None)
        await asyncio.wait_for(self.agent.connect(), 15)
        self.receiving = asyncio.ensure_future(self._receive())

    async def _receive(self):
        with contextlib.suppress(ConnectionError):
            while await self.agent.recv():
                self.count += 1

    async def send(self, count):
        for _ in range(count):
            await self.agent.send(b"x" * 160)
            await asyncio.sleep(0.01)

    async def received(self):
        return self.count

    async def close(self):
        await self.agent.close()


class Libnice:
    def __init__(self):
        import gi
        gi.require_version("Gst", "1.0")
        gi.require_version("Nice", "0.1")
        from gi.repository import GLib, Gst, Nice
        self.nice, self.gst = Nice, Gst
        Gst.init(None)
        self.loop = asyncio.get_event_loop()
        threading.Thread(target=GLib.MainLoop().run, daemon=True).start()
        self.agent = Nice.Agent.new(GLib.MainContext.default(), Nice.Compatibility.RFC5245)
        self.agent.set_property("force-relay", True)
        self.agent.set_property("upnp", False)
        self.agent.set_property("ice-tcp", False)
        self.gathered, self.ready = asyncio.Event(), asyncio.Event()
        self.count = 0

    async def gather(self, server, port, transport, username, password, controlling):
        agent, types = self.agent, self.nice.RelayType
        agent.set_property("controlling-mode", controlling)
        self.stream = agent.add_stream(1)
        agent.set_relay_info(self.stream, 1, server, port, username, password,
                             getattr(types, transport.upper()))
        agent.connect("candidate-gathering-done", lambda *_: self.loop.call_soon_threadsafe(
            self.gathered.set))
        agent.connect("component-state-changed", self._changed)
        self._receive()
        agent.gather_candidates(self.stream)
        await asyncio.wait_for(self.gathered.wait(), 15)
        _, ufrag, pwd = agent.get_local_credentials(self.stream)
        return {"ufrag": ufrag, "pwd": pwd, "candidates": [
            agent.generate_local_candidate_sdp(c).removeprefix("a=candidate:")
            for c in agent.get_local_candidates(self.stream, 1)]}

    def _receive(self):
        """libnice hands its packets to a pipeline."""
        self.pipeline = self.gst.parse_launch(
            "nicesrc name=source ! fakesink name=sink signal-handoffs=true sync=false async=false")
        source = self.pipeline.get_by_name("source")
        source.set_property("agent", self.agent)
        source.set_property("stream", self.stream)
        source.set_property("component", 1)
        self.pipeline.get_by_name("sink").connect("handoff", self._counted)
        self.pipeline.set_state(self.gst.State.PLAYING)

    def _counted(self, *_):
        self.count += 1

    def _changed(self, _agent, _stream, _component, state):
        if state == self.nice.ComponentState.READY:
            self.loop.call_soon_threadsafe(self.ready.set)

    async def connect(self, ufrag, pwd, candidates):
        agent = self.agent
        agent.set_remote_credentials(self.stream, ufrag, pwd)
        agent.set_remote_candidates(self.stream, 1, [
            agent.parse_remote_candidate_sdp(self.stream, f"a=candidate:{c}") for c in candidates])
        await asyncio.wait_for(self.ready.wait(), 15)

    async def send(self, count):
        for _ in range(count):
            self.agent.send(self.stream, 1, 160, "x" * 160)
            await asyncio.sleep(0.01)

    async def received(self):
        return self.count

    async def close(self):
        self.pipeline.set_state(self.gst.State.NULL)
        closed = asyncio.Event()
        self.agent.close_async(lambda *_: self.loop.call_soon_threadsafe(closed.set))
        await asyncio.wait_for(closed.wait(), 5)


if __name__ == "__main__":
    serve({"aioice": Aioice, "libnice": Libnice}[sys.argv[1]]())
