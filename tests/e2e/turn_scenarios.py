# SPDX-License-Identifier: ISC
"""TURN with clients that know nothing of this project: coturn's, aioice, libnice, GStreamer,
libwebrtc and Chromium. Each scenario asserts data both ways, and the daemon's own figures.
"""

from lab.call import require
from lab.client import ClientError
from lab.lab import NAT_A, SERVER4, SERVER6
from lab.network import wait_for
from lab.turn import (NEXT_SECRET, PEER4, PEER6, PLAIN, PROXY4, PROXY6, STATIC_PASSWORD,
                      STATIC_USER, TLS, Endpoint, Ledger, Source, TurnLab, credential)
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


# --- what must cost a datagram and no more ---

UNREACHABLE = "203.0.113.99"


@scenario()
def turn_unreachable_peers(lab):
    """Peers without a route, with port 0 or that refuse, in the midst of a conversation: each costs
    that datagram and a counter, never the allocation."""
    alice, ledger = Endpoint(lab), Ledger(lab.daemon)
    names = ("udp", "tcp", "tls")
    for name in names:
        alice.allocate(name, name)
    echoed = alice.echo(*names)
    lab.network.ip("srv", "route", "add", "unreachable", UNREACHABLE)
    lab.network.ip("srv", "route", "add", "blackhole", "203.0.113.98")
    lab.network.ip("srv", "route", "del", "default")
    nowhere = {"no route": ("9.9.9.9", 5000), "unreachable": (UNREACHABLE, 5000),
               "black hole": ("203.0.113.98", 5000), "refused": (PEER4, 7), "port 0": (PEER4, 0)}
    for name in names:
        for peer in nowhere.values():
            require(alice.ask("permit", name=name, address=peer[0]) == 0, f"no permission: {peer}")
            alice.ask("indicate", name=name, peer=peer, count=5)
            if peer[1] != 0:
                alice.ask("send", name=name, peer=peer, count=5)  # by a channel
        echoed += alice.echo(*names)
    drops = ledger.drops()
    require(drops.get("send_error", 0) >= 60, f"drops counted: {drops}")
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
    newest = next(i for i in range(len(got)) if got[-1 - i] != 2009 - i)
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
    lab.write("turn.pem", "no certificate")  # and one that cannot be used changes nothing
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
