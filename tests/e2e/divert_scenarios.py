# SPDX-License-Identifier: ISC
"""The server hands its Jingle to the relay (docs/DIVERT.md): calls between ordinary addresses, with
clients that know of no relay, no STUN and no TURN. Server and daemon are configured as
docs/OPERATING.md says.
"""

from lab.call import require
from lab.divert import DOORS, DivertLab, DivertedCall

SCENARIOS = {}
BOTH = ["audio", "video"]
AUDIO = ["audio"]


def scenario(doors=tuple(DOORS), **options):
    """Registers a function as a scenario for each of these servers; options are those of the lab."""
    def register(function):
        for door in doors:
            name = f"divert-{door}-{function.__name__.replace('_', '-')}"
            SCENARIOS[name] = (function, {"door": door, **options})
        return function
    return register


def run(name, daemon, logs=None):
    function, options = SCENARIOS[name]
    with DivertLab(daemon, logs=logs, **options) as lab:
        figures = function(lab)
        if lab.daemon.process in lab.network.processes:
            status = lab.daemon.stop()
            require(status == 0, f"the daemon ended with status {status}")
        return {**figures, "counts": lab.server.counts()}


# --- calls that must simply work ---

def _carried(lab, a, b, kinds, seconds=3):
    """A call that the relay must carry; ends it and requires that the relay gives all back."""
    call = DivertedCall(lab, a, b, kinds).connect().place()
    call.keep_flowing(seconds)
    view = call.carried()
    figures = {**call.figures(), "relay_setup_ms": view["setup_ms"]}
    call.hangup()
    call.paths_closed()
    require(lab.server.counts()["failed_open"] == 0, f"counts: {lab.server.counts()}")
    return figures


@scenario()
def chromium(lab):
    return _carried(lab, "chromium", "chromium", BOTH)


@scenario()
def libwebrtc_to_aiortc(lab):
    return _carried(lab, "wrtc", "aiortc", BOTH)


@scenario()
def aiortc_to_libwebrtc(lab):
    return _carried(lab, "aiortc", "wrtc", BOTH)


@scenario()
def libnice(lab):
    return _carried(lab, "libnice", "aiortc", BOTH)


@scenario()
def raw_udp(lab):
    return _carried(lab, "gstreamer-raw", "gstreamer-raw", AUDIO)


@scenario()
def google(lab):
    """Google's transport in Jingle: checks without password."""
    return _carried(lab, "libnice-google", "libnice-google", AUDIO, 1)


@scenario(policy="relay-only")
def google_session(lab):
    """And in Google's own session; of each other they know the relay only."""
    call = DivertedCall(lab, "libnice-google", "libnice-google", AUDIO).connect()
    call.place(dialect="session")
    call.carried()
    require(all("192.168" not in stanza for client in call.both
                for direction, stanza in client.ask("stanzas") if direction == "in"),
            "an address was told")
    figures = call.figures()
    call.hangup()
    call.paths_closed()
    return figures


# --- calls without the relay ---

@scenario(same_lan=True)
def relay_away(lab):
    """The daemon is not there: those who have a direct path are connected at once."""
    lab.daemon.stop()
    call = DivertedCall(lab, "chromium", "wrtc", BOTH).connect().place()
    call.keep_flowing(3)
    require(call.setup_ms < 2000, f"set up in {call.setup_ms} ms")
    figures = call.figures()
    call.hangup()
    return figures
