# SPDX-License-Identifier: ISC
"""Desktop clients as Debian has them call each other's ordinary addresses. No client knows of a
relay, of STUN or of TURN, and both sit behind NATs that forbid a direct path; their server hands
its Jingle to the relay. One of each pair of clients may be Chromium with npm `stanza`.
"""

from lab.call import require
from lab.desktop import DESKTOPS, DesktopLab
from lab.divert import DivertedCall
from lab.lab import SERVER4
from lab.network import wait_for

AUDIO = ["audio"]
LEAST_HEARD = 3  # tenths of a second, of about 40
SCENARIOS = {}

# Those that have a codec and an encryption in common: Gajim and Pidgin have plain RTP only.
PAIRS = (("dino", "dino"), ("chromium", "dino"), ("gajim", "gajim"), ("gajim", "dino"),
         ("dino", "chromium"), ("dino", "gajim"), ("pidgin", "gajim"), ("pidgin", "dino"))

for door in ("prosody", "ejabberd"):
    for a, b in PAIRS:
        SCENARIOS[f"desktop-{door}-{a}-to-{b}"] = (door, a, b)


def run(name, daemon, logs=None):
    door, a, b = SCENARIOS[name]
    with DesktopLab(daemon, door=door, logs=logs) as lab:
        figures = _carried(lab, a, b)
        status = lab.daemon.stop()
        require(status == 0, f"the daemon ended with status {status}")
        return {**figures, "counts": lab.server.counts()}


def _carried(lab, a, b):
    """A call that the relay must carry, and in which both desktops hear the other."""
    call = DivertedCall(lab, a, b, AUDIO).connect().place(30)
    call.keep_flowing(4, least=80)
    heard = wait_for("sound at each desktop", lambda: _heard(call), 10)
    view = call.carried()
    sources = _require_relayed(call, view)
    figures = {"setup_ms": call.setup_ms, "relay_setup_ms": view["setup_ms"], "heard": heard,
               "sources": sources, "packets_received": call.received()}
    call.hangup()
    call.paths_closed()
    require(lab.server.counts()["failed_open"] == 0, f"counts: {lab.server.counts()}")
    return figures


def _heard(call):
    """Tenths of a second in which each desktop's loudspeaker was not silent; None: too few."""
    heard = {client.user: stats["heard"] for client, stats in zip(call.both, call.stats())
             if client.kind in DESKTOPS}
    return heard if min(heard.values()) >= LEAST_HEARD else None


def _require_relayed(call, view):
    """Packets of media both ways through the relay, and to the desktops from nobody else."""
    carried = [min(path[side]["media_packets_in"] for side in ("initiator", "responder"))
               for path in view["paths"]]
    require(max(carried) >= 100, f"packets that the relay carried both ways: {carried}")
    sources = {source for stats in call.stats()
               for source in stats["in"]["audio"].get("sources", ())}
    require(sources == {SERVER4}, f"media came from {sources}")
    return sorted(sources)
