# SPDX-License-Identifier: ISC
"""The test partner: real clients behind NATs call echo@, and hear themselves."""

import time

from control_scenarios import Control
from lab.call import require
from lab.lab import Lab
from lab.network import wait_for
from lab.scenarios import Scenarios
from lab.servers import RELAY

ADDRESS = f"echo@{RELAY}/relay"
AUDIO = ["audio"]
SECONDS = 4
LEAST = 40  # of the 200 packets that a client sends in that time, be the machine ever so busy
SHORT = 12  # seconds, of calls that are to end by themselves


class EchoLab(Control, Lab):
    def __init__(self, *arguments, groups="", **options):
        self.groups = groups
        super().__init__(*arguments, **options)


SCENARIOS = Scenarios(EchoLab)
scenario, run = SCENARIOS.add, SCENARIOS.run


def call(lab, kind, kinds, **options):
    """Calls the test partner, hears it for a while; returns the client and the figures."""
    client = lab.client(kind, "alice")
    lab.connect(client)
    start = time.monotonic()
    client.ask("call", to=ADDRESS, kinds=kinds, **options)
    wait_for("media from the test partner",
             lambda: all(client.received(k) > 0 for k in kinds), 20)
    setup = round((time.monotonic() - start) * 1000)
    before = {k: client.received(k) for k in kinds}
    time.sleep(SECONDS)
    stats = client.ask("stats")
    require(not stats["ended"], f"the call ended: {stats['ended']}")
    got = {k: stats["in"][k]["packets"] - before[k] for k in kinds}
    require(got["audio"] >= LEAST, f"{got} packets in {SECONDS} s")
    require(min(got.values()) > 10, f"{got} packets in {SECONDS} s")
    lost = {k: stats["in"][k]["lost"] for k in kinds}
    return client, {"setup_ms": setup, "packets": got, "lost": lost, "pairs": stats["pairs"]}


def hang_up(lab, client):
    """Nothing is left of the call."""
    client.ask("hangup")
    wait_for("the end of the call", lambda: lab.daemon.metrics()["echo_calls"] == 0, 5)
    require(lab.daemon.metrics()['ports{state="used"}'] == 0, "ports are still in use")


def heard(lab, kind, kinds, handshakes=0, **options):
    client, figures = call(lab, kind, kinds, **options)
    metrics = lab.daemon.metrics()
    require(metrics["echo_handshakes_total"] == handshakes,
            f"{metrics['echo_handshakes_total']} DTLS handshakes")
    hang_up(lab, client)
    return figures


@scenario()
def echo_chromium(lab):
    """Audio and video of a browser in one bundle, DTLS-SRTP."""
    return heard(lab, "chromium", ["audio", "video"], handshakes=1)


@scenario()
def echo_aiortc(lab):
    return heard(lab, "aiortc", AUDIO, handshakes=1)


@scenario()
def echo_libnice(lab):
    """GStreamer's stack on libnice."""
    return heard(lab, "libnice", AUDIO, handshakes=1)


@scenario()
def echo_plain(lab):
    """Plain RTP over ICE, two components."""
    return heard(lab, "plain", AUDIO)


@scenario()
def echo_raw_udp(lab):
    """Plain RTP over raw UDP: the address in the offer is a private one behind a NAT."""
    return heard(lab, "gstreamer-raw", AUDIO)


@scenario(groups=f"echo: {{ duration = \"{SHORT} s\"; calls = 1; }};")
def echo_limits(lab):
    """A call lasts no longer than allowed, and there are no more of them than allowed."""
    client = lab.client("plain", "alice")
    other = lab.client("plain", "bob")
    for one in (client, other):
        lab.connect(one)
    client.ask("call", to=ADDRESS, kinds=AUDIO)
    wait_for("media from the test partner", lambda: client.received("audio") > 0, 20)
    try:
        other.ask("call", to=ADDRESS, kinds=AUDIO)
        refused = False
    except Exception as error:  # what slixmpp says of a stanza error
        refused = "resource-constraint" in str(error) or "busy" in str(error)
    require(refused, "a second call was taken")
    wait_for("the end of the call", lambda: client.ask("stats")["ended"], SHORT + 10)
    require(lab.daemon.metrics()["echo_calls"] == 0, "the call is still there")
    return {"ended": client.ask("stats")["ended"]}


@scenario()
def echo_drain(lab):
    """A drain waits for the tests that are running, too; the daemon ends after the last."""
    client, figures = call(lab, "plain", AUDIO)
    lab.ask("drain")
    before = client.received("audio")
    time.sleep(SECONDS)  # it looks once a second
    require(lab.daemon.process.poll() is None, "the daemon ended before the call")
    require(client.received("audio") - before >= LEAST, "nothing comes back any more")
    client.ask("hangup")
    wait_for("the daemon's end after the call's",
             lambda: lab.daemon.process.poll() is not None, 15)
    return figures
