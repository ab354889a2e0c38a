# SPDX-License-Identifier: ISC
"""TURN with clients that know nothing of this project: coturn's, aioice, libnice, GStreamer,
libwebrtc and Chromium. Each scenario asserts data both ways, and the daemon's own figures.
"""

from lab.call import require
from lab.lab import SERVER4, SERVER6
from lab.turn import (PEER4, PEER6, PEER_PORT, PLAIN, STATIC_PASSWORD, STATIC_USER, TLS, Ledger,
                      TurnLab, credential, no_allocations)
from lab.uclient import Uclient

SCENARIOS = {}
NO_QUOTA = "allocations_per_user = 0;"


def scenario(**options):
    """Registers a function as a scenario; options are those of the lab."""
    def register(function):
        SCENARIOS[function.__name__.replace("_", "-")] = (function, options)
        return function
    return register


def run(name, daemon, logs=None):
    function, options = SCENARIOS[name]
    with TurnLab(daemon, logs=logs, **options) as lab:
        figures = function(lab)
        status = lab.daemon.stop()
        require(status == 0, f"the daemon ended with status {status}")
        return figures


# --- coturn's client ---

@scenario(limits=NO_QUOTA)
def turn_coturn_client(lab):
    """turnutils_uclient in every mode of its that Debian's version has right (docs/INTEROP.md)."""
    static = ("-u", STATIC_USER, "-w", STATIC_PASSWORD)
    tls = ("-S", "-E", lab.authority.certificate)
    ledger = Ledger(lab.daemon)
    running = [
        Uclient(lab, "udp", server=SERVER4, peer=PEER4),
        Uclient(lab, "tcp", "-t", server=SERVER4, peer=PEER4),
        Uclient(lab, "tls", "-t", *tls, server=SERVER4, peer=PEER4),
        Uclient(lab, "dtls", *tls, server=SERVER4, peer=PEER4),
        Uclient(lab, "udp-indications", "-s", server=SERVER4, peer=PEER4),
        Uclient(lab, "tcp-indications", "-t", "-s", server=SERVER4, peer=PEER4),
        Uclient(lab, "ipv6", "-x", server=SERVER6, peer=PEER6),
        Uclient(lab, "ipv6-tls", "-x", "-t", *tls, server=SERVER6, peer=PEER6),
        Uclient(lab, "ipv4-to-ipv6", "-x", server=SERVER4, peer=PEER6),
        Uclient(lab, "ipv6-to-ipv4", "-X", server=SERVER6, peer=PEER4),
        Uclient(lab, "mobility-udp", "-M", server=SERVER4, peer=PEER4),
        Uclient(lab, "mobility-tcp", "-M", "-t", server=SERVER4, peer=PEER4),
        Uclient(lab, "static-user", server=SERVER4, peer=PEER4, login=static),
        Uclient(lab, "padding-dont-fragment", "-t", "-D", "-g", server=SERVER4, peer=PEER4),
        Uclient(lab, "more-requests", "-G", server=SERVER4, peer=PEER4),
        Uclient(lab, "two-allocations", server=SERVER4, peer=None),
    ]
    messages = {client.name: client.finish() for client in running}
    # Each message passes an allocation to the peer and comes back; between two allocations it passes
    # both, once in each direction.
    relayed, drops = ledger.relayed(), ledger.drops()
    expected = sum(messages.values())
    require(relayed == {"to_peer": expected, "to_client": expected},
            f"{expected} messages, the daemon counted {relayed}")
    require(not drops, f"drops counted: {drops}")
    moved = ledger.grown('turn_responses_total{code="438"}')
    require(moved >= 2, "no mobile client has shown its ticket from a new address")
    return {"messages": messages, "relayed": relayed}
