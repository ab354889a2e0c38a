# SPDX-License-Identifier: ISC
"""TURN with clients that know nothing of this project: coturn's, aioice, libnice, GStreamer,
libwebrtc and Chromium. Each scenario asserts data both ways, and the daemon's own figures.
"""

import re

from lab.call import require
from lab.client import ClientError
from lab.lab import BOB, NAT_A, NAT_A2, SERVER4, SERVER6
from lab.network import wait_for
from lab.peers import PeerCall
from lab.scenarios import Scenarios
from lab.turn import (NEXT_SECRET, PEER4, PEER6, PLAIN, PROXY4, PROXY6, STATIC_PASSWORD,
                      STATIC_USER, TLS, Endpoint, Ledger, Source, TurnLab, credential)
from lab.uclient import Uclient

SCENARIOS = Scenarios(TurnLab)
scenario, run = SCENARIOS.add, SCENARIOS.run
NO_QUOTA = "allocations_per_user = 0;"


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


# --- ICE agents and WebRTC stacks, both ends of a call on this relay ---

# What clients hand each other beside what works: a private address, one without a route (as seen by
# the relay), port 0, and one of another family. Each must cost no more than its own packets.
BAD_CANDIDATES = ["9 1 UDP 2130706431 192.168.72.9 5000 typ host",
                  "9 1 UDP 2130706175 203.0.113.99 5000 typ host",
                  "9 1 UDP 2130705919 203.0.113.98 5000 typ host",
                  f"9 1 UDP 2130705663 {PEER4} 0 typ host",
                  "9 1 UDP 2130705407 2001:db8:1::99 5000 typ host"]
PACKETS = 100


def _without_routes(lab):
    lab.network.ip("srv", "route", "add", "unreachable", "203.0.113.99")
    lab.network.ip("srv", "route", "add", "blackhole", "203.0.113.98")


class Agents:
    """Alice's and Bob's ICE agents, each by a transport of its own."""

    def __init__(self, lab, a, b):
        self.name = "/".join(f"{kind}-{way}" for kind, way in (a, b))
        self.both = [lab.client(f"ice-{kind}", user)
                     for (kind, _), user in ((a, "alice"), (b, "bob"))]
        self.ways = a[1], b[1]
        self.posted = []

    def post(self, do, *each):
        """Asks both; each has what only one is asked with."""
        self.posted = [client.post(do, **options)
                       for client, options in zip(self.both, each or ({}, {}))]

    def take(self):
        return [client.take(number) for client, number in zip(self.both, self.posted)]

    def gather(self):
        self.post("gather", *({
            "server": SERVER4, "port": TLS if way == "tls" else PLAIN, "transport": way,
            "controlling": i == 0, **credential(self.both[i].user)}
            for i, way in enumerate(self.ways)))

    def connect(self):
        answers = self.take()
        for answer in answers:
            answer["candidates"] = BAD_CANDIDATES + answer["candidates"]
        self.post("connect", *answers[::-1])


@scenario()
def turn_ice_agents(lab):
    """aioice and libnice by each transport they have, and with each other; relayed address to
    relayed address, and candidates that lead nowhere beside those."""
    _without_routes(lab)
    ledger = Ledger(lab.daemon)
    pairs = [Agents(lab, *pair) for pair in (
        (("aioice", "udp"), ("aioice", "udp")), (("aioice", "tcp"), ("aioice", "tls")),
        (("libnice", "udp"), ("libnice", "udp")), (("libnice", "tcp"), ("libnice", "tcp")),
        (("aioice", "tls"), ("libnice", "udp")))]
    for step in ("gather", "connect"):
        for pair in pairs:
            getattr(pair, step)()
    for pair in pairs:
        pair.take()
    require(len(lab.allocations()) == 2 * len(pairs), f"allocations: {lab.allocations()}")
    for pair in pairs:
        pair.post("send", {"count": PACKETS}, {"count": PACKETS})
    for pair in pairs:
        pair.take()
    for pair in pairs:
        def received(clients=pair.both):
            return [client.ask("received") for client in clients]
        wait_for("the last packets", lambda f=received: min(f()) >= PACKETS, 5)
        require(received() == [PACKETS] * 2, f"{pair.name} received {received()}")
    relayed, drops = ledger.relayed(), ledger.drops()
    least = 2 * PACKETS * len(pairs)
    require(min(relayed.values()) >= least, f"{least} packets, the daemon counted {relayed}")
    for pair in pairs:
        pair.post("close")
        pair.take()
    lab.no_allocations()
    return {"pairs": [pair.name for pair in pairs], "relayed": relayed, "drops": drops}


def _calls(lab, kinds, *pairs):
    """One call after the other; each must find its allocations by the transports it was told."""
    figures = []
    for a, b, seen in pairs:
        ledger = Ledger(lab.daemon)
        old = [x["relayed"] for x in lab.allocations()]  # GStreamer leaves its own behind
        call = PeerCall(lab, a, b, kinds).place()
        call.keep_flowing(2)
        result = call.figures()
        ways = sorted(x["transport"] for x in lab.allocations()
                      if x["relayed"] not in old and x["to_peers"]["packets"] > 10)
        require(ways == sorted(seen), f"{a} and {b}: allocations over {ways}")
        packets = sum(sum(side.values()) for side in result["packets_received"].values())
        relayed = ledger.relayed()
        require(min(relayed.values()) >= packets, f"{packets} received, relayed: {relayed}")
        for client in call.both:
            client.ask("hangup")
        call.close()
        figures.append({"clients": [a, b], "relayed": relayed, **result})
    return {"calls": figures}


@scenario()
def turn_libwebrtc(lab):
    """libwebrtc in node over UDP and TCP; Chromium over TLS, whose certificate it verifies."""
    return _calls(lab, ["audio", "video"],
                  (("wrtc", "udp"), ("wrtc", "udp"), ("udp", "udp")),
                  (("wrtc", "tcp"), ("wrtc", "tcp"), ("tcp", "tcp")),
                  (("chromium", "tls"), ("wrtc", "udp"), ("tls", "udp")))


@scenario()
def turn_webrtcbin(lab):
    """GStreamer with itself, libwebrtc and Chromium. What it calls turns is plain TCP: libnice has
    no TLS, and the relay takes both on one port."""
    return _calls(lab, ["audio", "video"],
                  (("gstreamer", "udp"), ("gstreamer", "udp"), ("udp", "udp")),
                  (("gstreamer", "tcp"), ("wrtc", "udp"), ("tcp", "udp")),
                  (("chromium", "tls"), ("gstreamer", "tls"), ("tls", "tcp")))


# --- what must cost a datagram and no more ---

@scenario()
def turn_unreachable_peers(lab):
    """Peers without a route, with port 0 or that refuse, in the midst of a conversation: each costs
    that datagram and a counter, never the allocation."""
    alice, ledger = Endpoint(lab), Ledger(lab.daemon)
    names = ("udp", "tcp", "tls")
    for name in names:
        alice.allocate(name, name)
    echoed = alice.echo(*names)
    _without_routes(lab)
    lab.network.ip("srv", "route", "del", "default")
    nowhere = {"no route": ("9.9.9.9", 5000), "unreachable": ("203.0.113.99", 5000),
               "black hole": ("203.0.113.98", 5000), "refused": (PEER4, 7), "port 0": (PEER4, 0)}
    for name in names:
        for peer in nowhere.values():
            require(alice.ask("permit", name=name, address=peer[0]) == 0, f"no permission: {peer}")
            alice.ask("indicate", name=name, peer=peer, count=5)
            if peer[1] != 0:
                alice.ask("send", name=name, peer=peer, count=5)  # by a channel
        echoed += alice.echo(*names)
    for peer in ((BOB, 5000), ("127.0.0.1", 5000), (SERVER4, TLS), (SERVER4, 22)):
        require(alice.ask("bind", name="udp", peer=peer) == 403, f"a peer at {peer}")
    drops = ledger.drops()
    drops["send_error"] = drops.get("send_error", 0) + ledger.grown(
        'drops_total{reason="send_error"}')
    require(drops == {"send_error": 30 * len(names), "forbidden_peer": 5 * len(names)},
            f"drops counted: {drops}")
    for name in names:
        left = alice.ask("refresh", name=name)
        require(left == {"lifetime": 600}, f"Refresh over {name}: {left}")
    relayed = ledger.relayed()
    require(relayed["to_client"] == echoed, f"{echoed} echoes, the daemon counted {relayed}")
    return {"echoed": echoed, "relayed": relayed, "drops": drops}


@scenario()
def turn_slow_reader(lab):
    """A client that does not read its TCP connection for a while: what is oldest is dropped, what is
    new arrives when it reads again, and the allocation lives."""
    alice, ledger, source = Endpoint(lab), Ledger(lab.daemon), Source(lab)
    relayed = alice.ask("allocate_slowly", name="slow", server=SERVER4, port=PLAIN, buffer=8192,
                        **credential("alice"))["relayed"]
    alice.ask("send", name="slow", peer=source.address)  # binds a channel
    source.send(relayed, range(10))
    wait_for("the first packets", lambda: alice.ask("received", name="slow")["count"] == 10, 3)
    alice.ask("reading", name="slow", on=False)
    source.send(relayed, range(10, 2010), size=1000, pause=0.0005)
    alice.ask("reading", name="slow", on=True)
    wait_for("the newest packet", lambda: 2009 in alice.ask("received", name="slow")["numbers"], 5)
    got = alice.ask("received", name="slow")["numbers"]
    dropped = ledger.grown('drops_total{reason="slow_reader"}')
    require(dropped > 0 and len(got) + dropped == 2010,
            f"{len(got)} received, {dropped} dropped of 2010")
    # The rest of the newest half second has come whole, without a gap.
    newest = next(i for i in range(len(got)) if got[-1 - i] != 2009 - i)
    require(newest >= 20, f"only the newest {newest} packets have no gap")
    alice.echo("slow")
    require(alice.ask("refresh", name="slow") == {"lifetime": 600}, "the allocation is gone")
    return {"received": len(got), "dropped": dropped, "newest_without_gap": newest}


# --- clients that come back ---

@scenario()
def turn_restart(lab):
    """The same 5-tuple again: at once after the client has ended its allocation, and not while that
    lives; another port of the client's is free to go on."""
    alice = Endpoint(lab)

    def allocate(name, port):
        return alice.ask("allocate_from", name=name, local_port=port, server=SERVER4, port=PLAIN,
                         **credential("alice"))

    first = allocate("first", 40000)["relayed"]
    alice.echo("first")
    for _ in range(5):
        require(alice.ask("refresh", name="first", lifetime=0) == {"lifetime": 0}, "not ended")
        again = alice.ask("again", name="first")
        require("relayed" in again and again["relayed"] != first, f"the same 5-tuple: {again}")
        alice.echo("first", count=10)
    alice.ask("crash", name="first")
    mismatch = allocate("second", 40000)
    require(mismatch == {"error": 437}, f"while the old allocation lives: {mismatch}")
    require("relayed" in allocate("third", 40001), "another port")
    alice.echo("third")
    count = len(lab.allocations())
    require(count == 2, f"{count} allocations")
    alice.allocate("stream", "tcp")
    alice.ask("crash", name="stream")
    wait_for("the allocation of a connection that has ended is gone",
             lambda: len(lab.allocations()) == 2, 5)
    return {"at_once": 5, "while_it_lives": 437}


@scenario()
def turn_new_certificate(lab):
    """The certificate is exchanged: new connections get the new one, those that live go on."""
    alice = Endpoint(lab)
    flags = ("-S", "-E", lab.authority.certificate, "-z", "40")
    running = [Uclient(lab, "tls", "-t", *flags, server=SERVER4, peer=PEER4),
               Uclient(lab, "dtls", *flags, server=SERVER4, peer=PEER4)]
    before = alice.allocate("before", "tls")["certificate"]
    alice.echo("before")
    serial = lab.renew_certificate()

    def renewed():
        presented = alice.allocate("probe", "tls")["certificate"]
        alice.ask("close", name="probe")
        return presented == serial

    wait_for("the new certificate", renewed, 10, pause=0.5)
    alice.echo("before")
    messages = {client.name: client.finish() for client in running}
    lab.write("turn.pem", "no certificate")
    wait_for("the daemon's look at the broken certificate", lambda: "certificate stays" in lab.log(),
             10)
    alice.echo("before")
    require(renewed(), "a broken file has taken the certificate away")
    return {"old": before, "new": serial, "messages": messages}


# --- who may have an allocation ---

@scenario(limits="allocations_per_user = 3; allocations = 5;")
def turn_quotas(lab):
    """A fourth allocation of one user gets 486, a sixth of all 508; what is ended counts no more. A
    user is who the credential names, whatever its expiry."""
    alice, bob = Endpoint(lab), Endpoint(lab, "bob")
    for i in range(3):
        login = credential("alice@example.test", lifetime=3600 + i)
        require("relayed" in alice.allocate(f"a{i}", login=login), f"allocation {i} of 3")
    fourth = alice.allocate("a3", "tcp", user="alice@example.test")
    for i in range(2):
        bob.allocate(f"b{i}", user="bob@example.test")
    sixth = bob.allocate("b2", user="bob@example.test")
    require((fourth, sixth) == ({"error": 486}, {"error": 508}), f"answers: {fourth}, {sixth}")
    alice.ask("close", name="a0")
    require("relayed" in bob.allocate("b2", user="bob@example.test"), "a place is free again")
    alice.echo("a1", "a2")
    bob.echo("b0", "b1", "b2")
    identities = sorted(a["identity"] for a in lab.allocations())
    require(identities == ["alice@example.test"] * 2 + ["bob@example.test"] * 3,
            f"identities: {identities}")
    for client, names in ((alice, ("a1", "a2")), (bob, ("b0", "b1", "b2"))):
        for name in names:
            client.ask("close", name=name)
    lab.no_allocations()
    return {"fourth": fourth, "sixth": sixth}


@scenario()
def turn_credentials(lab):
    """Two secrets at a time, for rotation, and a static user; nobody else."""
    alice = Endpoint(lab)
    logins = {"first secret": credential("alice", NEXT_SECRET),
              "second secret": credential("alice"),
              "static": {"username": STATIC_USER, "password": STATIC_PASSWORD}}
    for name, login in logins.items():
        require("relayed" in alice.allocate(name, login=login), f"{name} is refused")
    alice.echo(*logins)
    strangers = {"third secret": credential("alice", "a-secret-that-is-not-known"),
                 "expired": credential("alice", lifetime=-60),
                 "wrong password": {"username": STATIC_USER, "password": "guessed"},
                 "unknown": {"username": "dave", "password": STATIC_PASSWORD}}
    answers = {name: alice.allocate(name, login=login) for name, login in strangers.items()}
    require(all(answer == {"error": 401} for answer in answers.values()), f"answers: {answers}")
    return {"accepted": list(logins), "refused": list(strangers)}


# --- behind a load balancer ---

BALANCER = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
"""


def _balance(lab):
    """haproxy with PROXY version 1 on IPv4 and 2 on IPv6 for plain TCP, the other way round for TLS,
    which it does not open."""
    text = BALANCER
    for bind, server, versions in ((PROXY4, SERVER4, ("", "-v2")),
                                   (f"[{PROXY6}]", f"[{SERVER6}]", ("-v2", ""))):
        for port, version in zip((PLAIN, TLS), versions):
            name = f"{'six' if '[' in bind else 'four'}{port}"
            text += f"""
listen {name}
  bind {bind}:{port}
  server relay {server}:{port} send-proxy{version}
"""
    lab.network.start("proxy", "haproxy", "-db", "-f", lab.write("haproxy.cfg", text),
                      log="haproxy")


@scenario(proxy=True, turn=f'proxies = [ "{PROXY4}", "{PROXY6}" ];')
def turn_behind_haproxy(lab):
    """PROXY protocol versions 1 and 2 over IPv4 and IPv6, in front of TCP and TLS: the client is who
    the header says."""
    _balance(lab)
    alice, ledger = Endpoint(lab), Ledger(lab.daemon)
    names = {}
    for name, server, transport in (("v1", PROXY4, "tcp"), ("v2-tls", PROXY4, "tls"),
                                    ("v2-ipv6", PROXY6, "tcp"), ("v1-ipv6-tls", PROXY6, "tls"),
                                    ("direct", SERVER4, "tcp")):
        names[name] = wait_for("haproxy", lambda s=server, t=transport, n=name: _allocated(
            alice, n, t, s), 5)
    echoed = alice.echo(*names)
    clients = {a["client"].rsplit(":", 1)[0] for a in lab.allocations()}
    require(clients == {NAT_A, "[2001:db8:71::2]"}, f"clients: {clients}")
    running = [Uclient(lab, "tcp", "-t", server=PROXY4, peer=PEER4),
               Uclient(lab, "tls", "-t", "-S", server=PROXY4, peer=PEER4),
               Uclient(lab, "ipv6", "-t", "-x", server=PROXY6, peer=PEER6)]
    messages = {client.name: client.finish() for client in running}
    expected = echoed + sum(messages.values())
    relayed = ledger.relayed()
    require(relayed == {"to_peer": expected, "to_client": expected}, f"relayed: {relayed}")
    from_proxy = lab.network.run("proxy", "timeout", "5", "turnutils_stunclient", SERVER4,
                                 check=False, capture_output=True)
    require(b"203.0.113.50" in from_proxy.stdout, f"UDP from the proxy: {from_proxy}")
    return {"clients": sorted(clients), "messages": messages, "relayed": relayed}


def _allocated(endpoint, name, transport, server):
    try:
        return endpoint.allocate(name, transport, server=server)["relayed"]
    except ClientError:  # nobody listens yet
        return None


# --- another network ---

# Connections of Alice's take her two uplinks in turns; what belongs to one stays on its way.
ALTERNATE = """
table ip lab {
  chain out { type route hook output priority mangle; oifname "lo" accept;
    ct state new ct mark set numgen inc mod 2 map { 0 : 1, 1 : 2 };
    meta mark set ct mark; }
  chain source { type nat hook postrouting priority srcnat; oifname "eth1" masquerade; }
}
"""


@scenario(two_uplinks=True)
def turn_roaming(lab):
    """A mobile client (RFC 8016) allocates by one uplink and goes on by the other, behind another
    NAT; over UDP and TCP, and from one worker to another as the kernel has it."""
    lab.network.ip("alice", "rule", "add", "fwmark", "2", "table", "200")
    lab.network.run("alice", "nft", "-f", "-", input=ALTERNATE.encode())
    figures, ledger = {}, Ledger(lab.daemon)
    for name, flags in (("udp", ()), ("tcp", ("-t",))):
        challenged = len(_challenged(lab))
        client = Uclient(lab, name, "-M", "-c", *flags, server=SERVER4, peer=PEER4)
        # What it sends to begin with is long over when its packets flow.
        wait_for("packets", lambda: any(
            a["to_peers"]["packets"] for a in lab.allocations()))
        before = set(_challenged(lab)[challenged:])
        after = {a["client"].rsplit(":", 1)[0] for a in lab.allocations()
                 if a["to_peers"]["packets"]}
        require({*before, *after} == {NAT_A, NAT_A2} and len(before) == len(after) == 1,
                f"allocated from {before}, went on from {after}")
        figures[name] = {"from": before.pop(), "to": after.pop(), "messages": client.finish()}
    messages = sum(f["messages"] for f in figures.values())
    relayed = ledger.relayed()
    require(relayed == {"to_peer": messages, "to_client": messages}, f"relayed: {relayed}")
    return figures


def _challenged(lab):
    """The addresses that asked for an allocation without credentials."""
    return re.findall(r"Allocate answered 401 TURN_CLIENT=([0-9.]+):", lab.log())
