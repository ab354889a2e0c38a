# SPDX-License-Identifier: ISC
"""Channels (XEP-0278): Alice asks the relay for ports and offers them to Bob, who knows nothing of
relays and whom she calls directly. Both are behind NATs that let nothing else through.
"""

import secrets
import socket
import struct
import sys
import threading
import time

from lab.call import Call, require
from lab.client import CLIENTS, COMMANDS
from lab.daemon import PORTS
from lab.lab import SERVER4, Lab
from lab.network import wait_for
from lab.scenarios import Scenarios

COMMANDS["channel"] = [sys.executable, f"{CLIENTS}/channel.py", "plain"]
COMMANDS["channel-aiortc"] = [sys.executable, f"{CLIENTS}/channel.py", "aiortc"]
AUDIO = ["audio"]
BOTH = ["audio", "video"]
SILENCE = 6  # seconds, then a channel ends


class Spray:
    """Sends consistent RTP to every port of the relay, three packets each, round after round: once
    from one socket, and once from a socket for each port, which is harder to tell from a client."""

    def __init__(self, network):
        self.ports = range(PORTS[0], PORTS[1] + 1)
        self.sockets = network.inside("attacker", lambda: [
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(len(self.ports) + 1)])
        self.ssrc = secrets.token_bytes(4)
        self.ending = threading.Event()
        self.rounds = 0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()

    def _run(self):
        alone, *each = self.sockets
        while not self.ending.wait(0.1):
            for number in range(3 * self.rounds, 3 * self.rounds + 3):
                packet = struct.pack("!BBHI", 0x80, 0, number & 0xFFFF, number * 160) + self.ssrc
                for own, port in zip(each, self.ports):
                    own.sendto(packet + bytes(160), (SERVER4, port))
                    alone.sendto(packet + bytes(160), (SERVER4, port))
            self.rounds += 1

    def received(self):
        count = 0
        for sock in self.sockets:
            sock.setblocking(False)
            try:
                while sock.recv(65536):
                    count += 1
            except BlockingIOError:
                pass
        return count


class ChannelLab(Lab):
    groups = f'limits: {{ media_timeout = "{SILENCE} s"; }};'


SCENARIOS = Scenarios(ChannelLab)
scenario, run = SCENARIOS.add, SCENARIOS.run


class ChannelCall(Call):
    """A call that the daemon knows by its channels only."""

    def address(self):
        return self.bob.jid

    def channels(self):
        known = self.lab.daemon.json("/api/calls")
        return [self.lab.daemon.json(f"/api/calls/{line['id']}")
                for line in known["calls"] + known["ended"] if line["door"] == "channel"]

    def carried(self):
        """Requires that some channel has carried media both ways; returns all."""
        channels = self.channels()
        require("carried" in {c["verdict"] for c in channels},
                f"the relay's verdicts: {[c['verdict'] for c in channels]}")
        for channel in channels:
            requesters = [c.jid for c in self.both if "channel" in c.kind]
            require(channel["initiator"]["jid"] in requesters, f"by {channel['initiator']}")
            require({p["mode"] for p in channel["paths"]} == {"channel"}, "modes of its paths")
        return channels

    def ends(self, waiting=0):
        """Hangs up, and requires that the ports come back although nobody gives them back, but for
        those of channels that still wait for somebody."""
        self.hangup()
        for client in self.both:
            client.close()  # some go on sending
        start = time.monotonic()
        wait_for("the relay closes silent channels",
                 lambda: self.lab.daemon.metrics()["paths"] == 2 * waiting, 2 * SILENCE + 2)
        return round(time.monotonic() - start, 1)


def _carry(lab, a, b, kinds, seconds=3, **options):
    call = ChannelCall(lab, a, b, kinds).connect().place(**options)
    call.keep_flowing(seconds)
    return call, {**call.figures(), "channels": len(call.carried())}


def _reports(call):
    """RTCP reports at both sides."""
    reports = [stats["in"]["rtcp"]["packets"] for stats in call.stats()]
    require(min(reports) >= 2, f"RTCP reports received: {reports}")
    return reports


@scenario()
def channel_raw(lab):
    """Plain RTP and RTCP over raw UDP, found by name as Jitsi finds it."""
    call, figures = _carry(lab, "channel", "plain", AUDIO, transport="channel-raw")
    (_, local, remote), = call.alice.ask("ports")
    require(local % 2 == 0 and remote % 2 == 0, f"ports {local} and {remote}")
    metrics = lab.daemon.metrics()
    require(metrics['calls_opened_total{door="channel"}'] == 1, "channels counted")
    require(metrics['calls{door="channel",state="active"}'] == 1, "channels now")
    return {**figures, "rtcp_received": _reports(call), "closed_s": call.ends()}


@scenario()
def channel_ice(lab):
    """ICE end to end over a channel, aioice to aioice, two components."""
    call, figures = _carry(lab, "channel", "plain", AUDIO, transport="ice")
    return {**figures, "rtcp_received": _reports(call), "closed_s": call.ends()}


@scenario()
def channel_webrtc(lab):
    """ICE, DTLS and SRTP over channels: libnice, which knows nothing of them, to aiortc, which asks
    as the called party."""
    call, figures = _carry(lab, "libnice", "channel-aiortc", BOTH)
    return {**figures, "closed_s": call.ends()}


def _under_spray(lab, **options):
    """A call while strangers spray, before it and during it: it goes to its clients, they get
    nothing, and once it is there it does not notice."""
    call = ChannelCall(lab, "channel", "plain", AUDIO).connect()
    call.alice.ask("channel")  # one that nobody will use
    with Spray(lab.network) as spray:
        time.sleep(1)
        call.place(**options)
        call.keep_flowing(3, least=100)
    sources = [[len(path[side]["sources"]) for path in channel["paths"]
                for side in ("initiator", "responder")] for channel in call.carried()]
    require([0, 0, 0, 0] in sources, f"sources of the channels: {sources}")
    came_back = spray.received()
    require(came_back == 0, f"the strangers received {came_back} datagrams")
    require(spray.rounds > 10, f"sprayed {spray.rounds} times")
    drops = {reason: count for reason, count in lab.daemon.drops().items() if count}
    require(drops.get("unproved_source", 0) > 100, f"drops: {drops}")
    lost = [stats["in"]["audio"]["lost"] for stats in call.stats()]
    require(max(lost) == 0, f"packets lost: {lost}")
    return {**call.figures(), "rounds": spray.rounds, "drops": drops,
            "closed_s": call.ends(waiting=1)}


@scenario(attacker=True)
def channel_sprayed_raw(lab):
    """Strangers against a channel that has nothing but RTP to go by."""
    return _under_spray(lab, transport="channel-raw")


@scenario(attacker=True)
def channel_sprayed_ice(lab):
    """Strangers against a channel whose clients speak ICE."""
    return _under_spray(lab, transport="ice")


@scenario()
def channel_limits(lab):
    """A user gets so many channels and no more, and others still get theirs."""
    call = ChannelCall(lab, "channel", "channel", AUDIO).connect()
    for _ in range(4):  # limits.calls_per_user
        call.alice.ask("channel")
    condition = call.alice.ask("refused")
    require(condition == "resource-constraint", f"the fifth was answered: {condition}")
    call.bob.ask("channel")
    ports = {port for client in call.both for _, *two in client.ask("ports") for port in two}
    require(len(ports) == 10, f"ports told: {sorted(ports)}")
    require(lab.daemon.metrics()['ports{state="used"}'] == 20, "ports in use")
    return {"refused": condition}
