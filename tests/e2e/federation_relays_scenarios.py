# SPDX-License-Identifier: ISC
"""Two relays in one call, and one relay in the service of two servers (docs/DIVERT.md section 6):
what the clients are offered, and that each relay gives everything back.
"""

import collections
import xml.etree.ElementTree as ET

from lab.call import require
from lab.federation import OTHER, OTHER4, FederatedCall, FederatedLab
from lab.lab import SERVER4
from lab.network import wait_for
from lab.servers import DOMAIN, RELAY

SCENARIOS = {}
BOTH = ["audio", "video"]
JINGLE = "{urn:xmpp:jingle:1}"
CANDIDATE = "{urn:xmpp:jingle:transports:ice-udp:1}candidate"


class SharedLab(FederatedLab):
    """Both servers use Alice's relay: it is a component of hers, and Bob's reaches it by
    federation."""

    names = {**FederatedLab.names, RELAY: SERVER4}

    def _start_other(self, daemon):
        super()._start_other(daemon)
        _reconfigure(self.daemon, f'"{DOMAIN}" ]', f'"{DOMAIN}", "{OTHER}" ]')
        wait_for("the daemon", self.daemon.is_up, 20)
        _reconfigure(self.other, f'component = "relay.{OTHER}"', f'component = "{RELAY}"')
        wait_for("Bob's server finds Alice's relay", self._shared, 20)

    def _shared(self):
        with open(f"{self.directory}/prosody-other.log", encoding="utf-8") as file:
            return f"{OTHER} goes by way of {RELAY}" in file.read()


def _reconfigure(server, old, new):
    with open(server.config, encoding="utf-8") as file:
        text = file.read()
    require(text.count(old) == 1, f"{server.config} has {old} {text.count(old)} times")
    server.stop()
    with open(server.config, "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))
    server.start()


def scenario(pairs, lab=FederatedLab):
    """Registers a function as a scenario per pair of servers."""
    def register(function):
        for doors in pairs:
            name = f"federation-relays-{'-'.join(doors)}-{function.__name__.replace('_', '-')}"
            SCENARIOS[name] = (function, lab, doors)
        return function
    return register


def run(name, daemon, logs=None):
    function, kind, doors = SCENARIOS[name]
    with kind(daemon, doors=doors, logs=logs) as lab:
        figures = function(lab)
        statuses = [d.stop() for d in (lab.daemon, lab.other_daemon)]
        require(statuses == [0, 0], f"the daemons ended with {statuses}")
        return figures


# --- what clients are offered ---

def offered(client, action):
    """How often each relay's address was in a stanza with this action that the client got:
    {(address, content, component): count}."""
    for direction, text in client.ask("stanzas"):
        if direction == "in" and action in text:
            found = collections.Counter()
            for content in ET.fromstring(text).iter(f"{JINGLE}content"):
                for candidate in content.iter(CANDIDATE):
                    if candidate.get("ip") in (SERVER4, OTHER4):
                        found[candidate.get("ip"), content.get("name"),
                              candidate.get("component")] += 1
            return found
    return {}


def _offers(call):
    """What both were offered, and that nothing was offered twice."""
    offers = [offered(call.bob, "session-initiate"), offered(call.alice, "session-accept")]
    for user, offer in zip(("bob", "alice"), offers):
        require(offer and max(offer.values()) == 1, f"{user} was offered {offer}")
    return offers


def _idle(daemon):
    return daemon.metrics()["paths"] == 0 and not daemon.json("/api/calls")["calls"]


def _given_back(*daemons):
    for daemon in daemons:
        wait_for(f"the relay of {daemon.config} gives all back", lambda d=daemon: _idle(d), 10)


# --- two relays ---

TWO = [("prosody", "prosody"), ("prosody", "ejabberd"), ("ejabberd", "prosody")]


@scenario(TWO)
def two_offer_themselves(lab):
    """Both clients have a candidate of either relay, for each component one; the call flows, and
    its end is the end for both relays."""
    call = FederatedCall(lab, "aiortc", "wrtc", BOTH).connect().place()
    call.keep_flowing(3)
    for offer in _offers(call):
        require({address for address, _, _ in offer} == {SERVER4, OTHER4}, f"offered: {offer}")
    figures = {**call.figures(), "verdicts": call.verdicts()}
    call.hangup()
    _given_back(lab.daemon, lab.other_daemon)
    return figures


@scenario(TWO)
def one_vanishes(lab):
    """Bob's client is gone without a word: his relay is told by his server; Alice's gives her part
    back when she hangs up, although nobody is there to answer."""
    call = FederatedCall(lab, "wrtc", "aiortc", BOTH).connect().place()
    call.keep_flowing(2)
    call.verdicts()
    lab.network.stop(call.bob.process)
    _given_back(lab.other_daemon)
    call.alice.ask("hangup")
    _given_back(lab.daemon)
    return {"setup_ms": call.setup_ms}


# --- one relay ---

@scenario([("prosody", "prosody")], lab=SharedLab)
def one_for_both(lab):
    """The relay is asked about each request twice, by either server, and offers itself once."""
    call = FederatedCall(lab, "aiortc", "wrtc", BOTH).connect().place()
    call.keep_flowing(3)
    for offer in _offers(call):
        require({address for address, _, _ in offer} == {SERVER4}, f"offered: {offer}")
    figures = {**call.figures(), "verdicts": call.verdicts()}
    require(figures["verdicts"] == ["carried", None], f"verdicts: {figures['verdicts']}")
    call.hangup()
    _given_back(lab.daemon)
    return figures
