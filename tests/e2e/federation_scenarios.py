# SPDX-License-Identifier: ISC
"""Calls between users of two servers, each of which may hand its Jingle to a relay of its own
(docs/DIVERT.md section 6). Clients know of no relay, no STUN and no TURN, and no direct path exists.
"""

from lab.call import require
from lab.federation import FederatedCall, FederatedLab

SCENARIOS = {}
BOTH = ["audio", "video"]
PAIRS = [("prosody", "ejabberd"), ("ejabberd", "prosody"), ("prosody", "prosody"),
         ("ejabberd", "ejabberd")]


def scenario(pairs=PAIRS, **options):
    """Registers a function as a scenario per pair of servers; options are those of the lab."""
    def register(function):
        for doors in pairs:
            name = f"federation-{'-'.join(doors)}-{function.__name__.replace('_', '-')}"
            SCENARIOS[name] = (function, {"doors": doors, **options})
        return function
    return register


def run(name, daemon, logs=None):
    function, options = SCENARIOS[name]
    with FederatedLab(daemon, logs=logs, **options) as lab:
        figures = function(lab)
        statuses = [d.stop() for d in (lab.daemon, lab.other_daemon)]
        require(statuses == [0, 0], f"the daemons ended with {statuses}")
        return figures


def _call(lab, a="wrtc", b="aiortc"):
    """A call that a relay must carry; returns figures and the relays' verdicts."""
    call = FederatedCall(lab, a, b, BOTH).connect().place()
    call.keep_flowing(3)
    verdicts = call.verdicts()
    figures = {**call.figures(), "verdicts": verdicts}
    call.hangup()
    call.close()
    return figures, verdicts


@scenario()
def both(lab):
    """Both servers have the module, each with its own relay: both see the call, media flow."""
    figures, verdicts = _call(lab)
    require(None not in verdicts, f"one relay does not know the call: {verdicts}")
    return figures


@scenario(diverts=(True, False))
def callers_only(lab):
    """Only the caller's server has the module."""
    figures, verdicts = _call(lab)
    require(verdicts == ["carried", None], f"verdicts: {verdicts}")
    return figures


@scenario(diverts=(False, True))
def callees_only(lab):
    """Only the callee's server has it: the call comes in by federation."""
    figures, verdicts = _call(lab)
    require(verdicts == [None, "carried"], f"verdicts: {verdicts}")
    return figures
