# SPDX-License-Identifier: ISC
"""Calls end to end, each with real stacks in a lab of its own. A scenario returns its figures, or
raises; `run` prints them as one JSON line.
"""

import re
import time

from lab.call import Call, require
from lab.lab import ALICE, ALICE2, BOB, NAT_A, NAT_A2, NAT_A_NEW, NAT_B, SERVER4, Lab
from lab.network import wait_for
from lab.scenarios import Scenarios
from lab.servers import Ejabberd
from lab.stranger import Stranger
from lab.wiretap import Wiretap

SCENARIOS = Scenarios(Lab)
scenario, run = SCENARIOS.add, SCENARIOS.run
BOTH = ["audio", "video"]
AUDIO = ["audio"]
ROAMING_LIMIT_MS = 2000
CHROMIUM_NOTICES_MS = 6000  # what it needs by itself; RELAY_FOLLOWS_MS is the relay's part
RELAY_FOLLOWS_MS = 300
RESTART_LEAST = 60  # packets in 3 s, of about 150 of audio and 90 of video


def carry(lab, a, b, kinds, seconds=3, **options):
    """A call that the relay must carry; returns it and its figures."""
    call = Call(lab, a, b, kinds).connect().place(**options)
    call.keep_flowing(seconds)
    view = call.carried()
    return call, {**call.figures(), "relay_setup_ms": view["setup_ms"]}


def _selected(call, *sides):
    """The addresses that the relay sends to, on these sides or both."""
    return [source["address"] for path in call.relay()["paths"]
            for side in sides or ("initiator", "responder")
            for source in path[side]["sources"] if source["selected"]]


def ends(call, figures):
    """Hangs up, and requires that the relay gives everything back."""
    call.hangup()
    call.paths_closed()
    return figures


# --- calls that must simply work ---

@scenario(ice_ports="dedicated")
def bundle(lab):
    """Audio and video in one bundle, Chromium to Chromium."""
    call, figures = carry(lab, "chromium", "chromium", BOTH, seconds=5)
    require(len(call.relay()["paths"]) == 1, "a bundle with rtcp-mux needs one path")
    return ends(call, figures)


@scenario()
def two_components(lab):
    """RTP and RTCP on two components, without rtcp-mux."""
    call, figures = carry(lab, "plain", "plain", AUDIO)
    require(len(call.relay()["paths"]) == 2, "two components need two paths")
    reports = [stats["in"]["rtcp"]["packets"] for stats in call.stats()]
    require(min(reports) >= 3, f"RTCP reports received: {reports}")
    return ends(call, {**figures, "rtcp_received": reports})


@scenario(ice_ports="dedicated")
def libwebrtc_to_aiortc(lab):
    return ends(*carry(lab, "wrtc", "aiortc", BOTH))


@scenario()
def aiortc_to_libwebrtc(lab):
    return ends(*carry(lab, "aiortc", "chromium", BOTH))


@scenario()
def libwebrtc_to_libnice(lab):
    return ends(*carry(lab, "chromium", "libnice", BOTH))


@scenario()
def libnice_to_aiortc(lab):
    return ends(*carry(lab, "libnice", "aiortc", BOTH))


@scenario(server=Ejabberd)
def ejabberd(lab):
    """The same daemon on another server."""
    return ends(*carry(lab, "wrtc", "aiortc", BOTH))


@scenario(bob_on_ipv6=True)
def ipv4_to_ipv6(lab):
    """Alice has IPv4 only, Bob IPv6 only."""
    call, figures = carry(lab, "wrtc", "wrtc", BOTH)
    alice, bob = _selected(call, "initiator"), _selected(call, "responder")
    require(all(NAT_A in source for source in alice), f"Alice's sources: {alice}")
    require(all("2001:db8:72:" in source for source in bob), f"Bob's sources: {bob}")
    return ends(call, {**figures, "sources": alice + bob})


@scenario()
def raw_udp(lab):
    """Raw UDP from the start, plain RTP by GStreamer."""
    call, figures = carry(lab, "gstreamer-raw", "gstreamer-raw", AUDIO)

    def reports():
        return [stats["in"]["rtcp"]["packets"] for stats in call.stats()]

    wait_for("RTCP at both sides", lambda: min(reports()) >= 1, 15)
    return ends(call, {**figures, "rtcp_received": reports()})


# --- what the policies promise ---

@scenario(policy="relay-only")
def relay_only(lab):
    """Neither side learns an address of the other."""
    call, figures = carry(lab, "chromium", "wrtc", BOTH)
    call.hangup()
    for client, secret in ((call.alice, (BOB, NAT_B)), (call.bob, (ALICE, NAT_A))):
        for direction, stanza in client.ask("stanzas"):
            for address in secret:
                require(direction == "out" or address not in stanza,
                        f"{client.user} was told {address}: {stanza}")
        own = [s for d, s in client.ask("stanzas") if d == "out" and ALICE[:8] in s]
        require(own, f"{client.user} did not offer an address that could have been told")
    return figures


@scenario(same_lan=True)
def direct_path(lab):
    """Both on one LAN: the direct path wins, and the relay carries nothing once ICE has found it."""
    call = Call(lab, "chromium", "wrtc", BOTH).connect().place()

    def relayed():
        return sum(path[side]["media_packets_in"] for path in call.relay()["paths"]
                   for side in ("initiator", "responder"))

    wait_for("both clients use the direct path", lambda: all(
        "relay" not in (pair["local"], pair["remote"])
        for stats in call.stats() for pair in stats["pairs"]), 10)
    at_first = relayed()
    call.keep_flowing(6)
    later = relayed() - at_first
    require(later == 0, f"the relay carried {later} packets of media beside the direct path")
    return ends(call, {**call.figures(), "relayed_at_first": at_first,
                       "verdict": call.relay()["verdict"]})


# --- changes in mid-call ---

@scenario(ice_ports="dedicated")
def ice_restart(lab):
    """New credentials in mid-call, twice, on the same relay ports."""
    call, figures = carry(lab, "chromium", "wrtc", BOTH)
    ports = [path["initiator"]["ports"] for path in call.relay()["paths"]]

    def credentials():
        return {match for direction, stanza in call.bob.ask("stanzas") if direction == "in"
                for match in re.findall(r"""ufrag=["']([^"']+)""", stanza)}

    for restart in (1, 2):
        known = credentials()
        call.alice.ask("restart")
        wait_for("Bob learns of new credentials", lambda: credentials() - known, 5)
        call.keep_flowing(3, least=RESTART_LEAST)
    after = [path["initiator"]["ports"] for path in call.carried()["paths"]]
    require(ports == after, f"ports before {ports}, after {after}")
    return ends(call, {**figures, "restarts": restart, "credentials_seen": len(credentials())})


def _roams(lab, clients, interrupt, address, limit_ms, resume=None):
    """Interrupts Alice's path and requires that media find her at her new address in time, and that
    the relay itself took next to nothing of it."""
    call, figures = carry(lab, *clients, AUDIO)
    tap = Wiretap(lab.network)
    interrupt()
    resuming = resume and call.alice.post(*resume[0], **resume[1])
    gaps = call.resumes_within(15)
    if resuming:
        call.alice.take(resuming)
    followed = tap.followed_in(address)
    require(max(gaps.values()) <= limit_ms, f"media resumed after {gaps} ms")
    require(followed is not None and followed <= RELAY_FOLLOWS_MS,
            f"the relay sent media {followed} ms after the first check from {address}")
    call.keep_flowing(2)
    sources = _selected(call, "initiator")
    require(all(address in source for source in sources),
            f"Alice is at {address}, the relay sends to {sources}")
    call.bob.ask("hangup")  # Alice may have lost her connection to the server
    call.paths_closed()
    return {**figures, "resumed_ms": gaps, "relay_followed_ms": followed}


@scenario(two_uplinks=True, ice_ports="dedicated")
def roam_uplink(lab):
    """Alice's first interface goes down; she goes on by the second, behind another NAT."""
    return _roams(lab, ("plain", "plain"), lambda: lab.network.ip(
        "alice", "link", "set", "eth0", "down"), NAT_A2, ROAMING_LIMIT_MS,
        resume=(("roam",), {"address": ALICE2}))


@scenario(two_uplinks=True)
def roam_chromium(lab):
    """The same with a browser, which takes some seconds to find out by itself."""
    return _roams(lab, ("chromium", "wrtc"), lambda: lab.network.ip(
        "alice", "link", "set", "eth0", "down"), NAT_A2, CHROMIUM_NOTICES_MS)


@scenario()
def roam_rebinding(lab):
    """Alice's NAT gets another address and forgets its mappings. She does not even know; her next
    check, every 2.5 s at worst, tells the relay."""
    return _roams(lab, ("chromium", "wrtc"), lambda: lab.network.readdress(
        "nata", NAT_A, NAT_A_NEW), NAT_A_NEW, CHROMIUM_NOTICES_MS)


@scenario(ice_ports="dedicated")
def transport_replace(lab):
    """From ICE-UDP to raw UDP and back in mid-call."""
    call, figures = carry(lab, "plain", "plain", AUDIO)
    modes = []
    for transport in ("raw", "ice"):
        call.alice.ask("replace", transport=transport)
        call.keep_flowing(3)
        modes.append(sorted({path["mode"] for path in call.carried()["paths"]}))
    require(modes == [["raw"], ["ice"]], f"modes of the paths after each replacement: {modes}")
    gaps = {user: s["in"]["audio"]["gap_ms"] for user, s in zip(("alice", "bob"), call.stats())}
    require(max(gaps.values()) < 1000, f"longest gaps: {gaps} ms")
    return ends(call, {**figures, **call.figures(), "setup_ms": figures["setup_ms"],
                       "longest_gap_ms": gaps})


@scenario()
def server_restart(lab):
    """Prosody restarts in mid-call: the media do not stop, and a new call works afterwards."""
    call, figures = carry(lab, "wrtc", "wrtc", BOTH)
    lab.server.stop()
    wait_for("the daemon notices", lambda: not lab.daemon.is_up(), 5)
    call.keep_flowing(3)
    start = time.monotonic()
    lab.server.start()
    wait_for("the daemon is back", lab.daemon.is_up, 30)
    back_ms = round((time.monotonic() - start) * 1000)
    call.keep_flowing(2)
    call.carried()
    call.connect().place()
    call.keep_flowing(2)
    call.carried()
    call.hangup()
    return {**figures, "reconnected_ms": back_ms, "second_setup_ms": call.setup_ms}


@scenario()
def shutdown(lab):
    """SIGTERM: both sides are told that the call is gone."""
    call, figures = carry(lab, "wrtc", "aiortc", AUDIO)
    lab.daemon.stop()
    reasons = [wait_for("both sides learn that the call ended",
                        lambda c=client: c.ask("stats")["ended"], 5) for client in call.both]
    require(reasons == ["gone", "gone"], f"reasons told: {reasons}")
    return figures


@scenario(arguments=["--drain"], policy="relay-only", same_lan=True)
def drain(lab):
    """SIGTERM with --drain: the running call goes on, and the daemon ends when it has ended. Both
    clients are behind one NAT, and share the relay's port."""
    call, figures = carry(lab, "wrtc", "aiortc", AUDIO)
    lab.daemon.process.terminate()
    call.keep_flowing(3)
    require(lab.daemon.process.poll() is None, "the daemon ended before the call")
    call.hangup()
    wait_for("the daemon's end after the call's", lambda: lab.daemon.process.poll() is not None, 5)
    return figures


# --- strangers ---

@scenario(attacker=True, ice_ports="dedicated")
def strangers(lab):
    """Everything that a stranger can do with captured checks, RTP and DTLS: the call is unharmed,
    nothing comes back to him, and all of it is counted by reason."""
    call, figures = carry(lab, "plain", "plain", AUDIO)
    tap, stranger = Wiretap(lab.network), Stranger(lab.network)
    before, sources = lab.daemon.drops(), _selected(call)
    checking = call.alice.post("checks", count=1)
    port, check = tap.next_check(SERVER4)
    stranger.send(port, check)  # at once
    call.alice.take(checking)
    for _ in range(20):
        stranger.forge(port, check)
    call.alice.ask("checks", count=150)  # on each of two components
    stranger.send(port, check)  # 300 checks later
    ports = [int(p.rsplit(":", 1)[1]) for path in call.relay()["paths"]
             for side in ("initiator", "responder") for p in path[side]["ports"]]
    for target in ports:
        stranger.media(target)
        stranger.dtls_hello(target)
    stranger.spray()
    call.keep_flowing(2, least=90)
    came_back = stranger.received()
    after = lab.daemon.drops()
    drops = {reason: after[reason] - before[reason] for reason in after
             if after[reason] != before[reason]}
    require(came_back == 0, f"the stranger received {came_back} datagrams")
    require(_selected(call) == sources, "the stranger moved a path")
    require(drops.get("replayed_check", 0) >= 2, f"replays counted: {drops}")
    require(drops.get("bad_integrity", 0) >= 20, f"forgeries counted: {drops}")
    require(drops.get("unproved_source", 0) >= 51 * len(ports), f"media counted: {drops}")
    lost = [stats["in"]["audio"]["lost"] for stats in call.stats()]
    require(max(lost) == 0, f"packets lost: {lost}")
    return ends(call, {**figures, "stranger_received": came_back, "drops": drops})
