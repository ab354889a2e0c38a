# SPDX-License-Identifier: ISC
"""The XMPP servers name the relay to their users (XEP-0215), by modules of their own and by
delegation, as docs/OPERATING.md configures them; and calls that have nothing but that.
"""

import base64
import hmac
import re
import time
from xml.etree import ElementTree

from lab import services
from lab.call import Call, require
from lab.client import ClientError
from lab.documents import TURN_HOST, TURN_SECRET
from lab.lab import NAT_A, NAT_B, SERVER4
from lab.network import wait_for
from lab.scenarios import Scenarios
from lab.servers import DOMAIN, RELAY, Ejabberd, Prosody
from lab.service import PORT, TLS_PORT, RelayedCall, ServiceLab

SCENARIOS = Scenarios(ServiceLab)
scenario, run = SCENARIOS.add, SCENARIOS.run
JINGLEINFO = "{google:jingleinfo}"
STUN, TURN = (f"{kind}:{TURN_HOST}:{PORT}" for kind in ("stun", "turn"))
TURN_UDP, TURN_TCP = f"{TURN}?transport=udp", f"{TURN}?transport=tcp"
EVERYTHING = {STUN, TURN_UDP, TURN_TCP, f"turns:{TURN_HOST}:{TLS_PORT}?transport=tcp"}


# --- what clients make of an answer ---

def _complete(used, client, wanted):
    """A client got all that it wants, each TURN entry with a login that has time left."""
    require(set(used) == set(wanted), f"{client} would use {sorted(used)}")
    for uri, (name, password) in used.items():
        if uri.startswith("stun"):
            continue
        require(int(name.split(":")[0]) > time.time() + 600, f"{uri}: login {name}")
        require(len(base64.b64decode(password, validate=True)) == 20, f"{uri}: {password}")


def _as_clients_read(lab, asker):
    """The answer of the server's domain, as each client would take it; returns the
    logins of its TURN entries."""
    found = lab.services(asker)
    for entry in found:
        require({"type", "host", "port", "transport"} <= set(entry), f"incomplete: {entry}")
    _complete(services.conversations(found), "Conversations", EVERYTHING)
    _complete(services.siskin(found), "Siskin", EVERYTHING)
    by_monal = services.monal(found, lambda entry: lab.credentials(asker, entry))
    # It does not ask by transport, so TURN over TCP may have become another TURN over UDP.
    _complete(by_monal, "Monal", {*EVERYTHING} - ({TURN_TCP} - set(by_monal)))
    on_udp = services.dino(found, {TURN_HOST: SERVER4})
    _complete(on_udp, "Dino", {f"{STUN}?transport=udp", TURN_UDP})
    for entry in found:
        if entry["type"].startswith("turn"):
            left = services.expires(entry) - time.time()
            require(left > 300, f"Dino asks again at once: {entry}")
    only = lab.services(asker, kind="turn")
    require({entry["type"] for entry in only} == {"turn"}, f"asked for turn only: {only}")
    used = services.conversations(found)
    return {uri: login for uri, login in used.items() if uri.startswith("turn")}


def _by_our_secret(logins):
    """The logins of a server's own module are made with the shared secret."""
    for uri, (name, password) in logins.items():
        proper = hmac.digest(TURN_SECRET.encode(), name.encode(), "sha1")
        require(base64.b64decode(password) == proper, f"{uri}: password {password} of {name}")


# --- calls with nothing else ---

def _relay_to_relay(lab):
    """Chromium calls libwebrtc, both with iceTransportPolicy "relay": packets go from one of our
    allocations to the other, and the component sees nothing of the call. Returns figures and whose
    allocations they were."""
    before = {entry["client"] for entry in lab.allocations()}  # that somebody forgot
    call = RelayedCall(lab, "chromium", "wrtc", ["audio"]).connect()
    for servers in call.servers:
        require(len([s for s in servers if "username" in s]) == 3, f"stanza.js found {servers}")
    call.place()
    call.keep_flowing(3, least=100)
    known = [entry for entry in lab.allocations() if entry["client"] not in before]
    relayed = {address for entry in known for address in entry["relayed"]}
    for client, stats in zip(call.both, call.stats()):
        require(stats["pairs"], f"{client.user} has no candidate pair")
        for pair in stats["pairs"]:
            require(pair["local"] == "relay" and pair["address"] in relayed,
                    f"{client.user} uses {pair}; the relay's own are {sorted(relayed)}")
    seen = lab.daemon.json("/api/calls")
    require(not seen["calls"] and not seen["ended"], f"the component was in the call: {seen}")
    figures = call.figures()
    require(max(sides["audio"] for sides in figures["loss"].values()) == 0, f"loss: {figures}")
    call.hangup()
    wait_for("the clients give their allocations back", lambda: not relayed & {
        address for entry in lab.allocations() for address in entry["relayed"]}, 10)
    call.close()
    return figures, known


def _whole(lab):
    """What every scenario does; returns figures, the logins that the domain gave, and the
    call's allocations."""
    asker = lab.asker()
    lab.announced(asker)
    logins = _as_clients_read(lab, asker)
    relayed = lab.try_login(*logins[TURN_UDP])
    figures, known = _relay_to_relay(lab)
    asker.close()
    transports = sorted({entry["transport"] for entry in known})
    return {**figures, "transports": transports, "by_uclient": relayed}, logins, known


def _identities(known):
    return {entry["identity"] for entry in known}


@scenario(server=Prosody, service="prosody-turn", shares=True)
def prosody_names_turn(lab):
    """Prosody's own modules: complete entries, and prosodyctl finds nothing wrong. The logins name
    nobody, so the users are told apart by their addresses."""
    figures, logins, known = _whole(lab)
    _by_our_secret(logins)
    require(_identities(known) == {NAT_A, NAT_B}, f"Alice and Bob are {_identities(known)}")
    lab.try_secret()
    said, status = lab.server.control("check", "turn", "-v")
    require(status == 0 and "Success!" in said and "warnings" not in said, f"prosodyctl: {said}")
    require(re.search(rf"Relayed address 1: {re.escape(SERVER4)}:\d+", said), f"prosodyctl: {said}")
    return figures


@scenario(server=Prosody, service="prosody-turn", shares=True,
          more="turn_external_tls_port = 5350\n")
def prosody_leaves_turns_without_login(lab):
    """Why the document writes the entry for turns out: with the module's own option clients get one
    that they cannot use, or worse."""
    asker = lab.asker()
    found = lab.services(asker)
    asker.close()
    bare = {e["port"] for e in found if e["type"] == "turns" and "username" not in e}
    require(bare == {"5350"}, f"turns without login: {found}")
    require(set(services.conversations(found)) == EVERYTHING, "Conversations takes it")
    client = lab.client("wrtc", "alice")
    try:
        client.ask("connect", user="alice", domain=DOMAIN, server=SERVER4, resource="x", relay=True)
        client.ask("call", to=f"bob@{DOMAIN}/x", kinds=["audio"])
        why = None
    except ClientError as error:
        why = str(error).splitlines()[0]
    client.close()
    require(why, "libwebrtc takes a turns server without login")
    return {"libwebrtc": why}


@scenario(server=Ejabberd, service="ejabberd-turn", shares=True)
def ejabberd_names_turn(lab):
    """ejabberd's own module; its logins tell users apart without naming them."""
    figures, logins, known = _whole(lab)
    _by_our_secret(logins)
    require(len(_identities(known)) == 2, f"Alice and Bob are {_identities(known)}")
    return figures


def _jingleinfo(asker):
    """What libjingle and Gabble ask their own account: (STUN hosts, relay hosts, token)."""
    answer = asker.ask("query", payload="<query xmlns='google:jingleinfo'/>")
    require(answer["type"] == "result", f"jingleinfo: {answer}")
    query = ElementTree.fromstring(answer["xml"])[0]
    stun, relay = (query.find(f"{JINGLEINFO}{part}") for part in ("stun", "relay"))
    return ([server.attrib for server in stun], [server.attrib for server in relay
                                                 if server.tag == f"{JINGLEINFO}server"],
            relay.findtext(f"{JINGLEINFO}token"))


def _delegated(lab):
    """The daemon answers for the domain, and its logins bear the user's bare JID."""
    figures, logins, known = _whole(lab)
    alice, bob = f"alice@{DOMAIN}", f"bob@{DOMAIN}"
    owners = {name.split(":", 1)[1] for name, _ in logins.values()}
    require(owners == {alice}, f"Alice's logins are of {owners}")
    require(_identities(known) == {alice, bob}, f"the allocations belong to {_identities(known)}")
    asker = lab.asker()
    for version, of in ((1, DOMAIN), (2, RELAY)):
        found = services.conversations(lab.services(asker, version=version, of=of))
        _complete(found, f"Version {version} of {of}", EVERYTHING)
    stun, relay, token = _jingleinfo(asker)
    asker.close()
    require(stun == [{"host": TURN_HOST, "udp": str(PORT)}], f"jingleinfo: STUN at {stun}")
    require([server["host"] for server in relay] == [TURN_HOST], f"jingleinfo: relays {relay}")
    require(alice in base64.b64decode(token).decode(), f"jingleinfo: token {token}")
    return figures


@scenario(server=Prosody, service="prosody-delegation", one_port=True)
def prosody_delegates(lab):
    return _delegated(lab)


@scenario(server=Ejabberd, service="ejabberd-delegation")
def ejabberd_delegates(lab):
    return _delegated(lab)


@scenario(server=Prosody, service="prosody-turn", shares=True, one_port=True)
def one_port(lab):
    """The firewall lets one UDP port in, for STUN, TURN and the paths of calls. Alice has found TURN,
    Bob knows of none: his packets cannot reach her allocation, but both reach the path."""
    asker = lab.asker()
    lab.announced(asker)
    asker.close()
    call = Call(lab, "wrtc", "libnice", ["audio"])
    call.alice.jid = call.alice.ask("connect", user="alice", domain=DOMAIN, server=SERVER4,
                                    resource="wrtc", servers=True)["jid"]
    lab.connect(call.bob)
    call.place()
    call.keep_flowing(3, least=100)
    view = call.carried()
    ports = {port for path in view["paths"] for side in ("initiator", "responder")
             for port in path[side]["ports"]}
    require(ports == {f"{SERVER4}:{PORT}"}, f"the paths use {ports}")
    require("udp" in [entry["transport"] for entry in lab.allocations()], "Alice has no TURN")
    figures = call.figures()
    call.hangup()
    call.paths_closed()
    return figures
