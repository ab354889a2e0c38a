# SPDX-License-Identifier: ISC
"""A lab for TURN: the relay, a peer that echoes, and the homes of Alice and Bob.

Every host has both address families. Alice and Bob are each behind a NAT (IPv4) or a firewall
(IPv6), so that nothing reaches them directly. There is no XMPP server: TURN has to work without.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import socket
import time

from .authority import Authority
from .call import require
from .client import Client
from .daemon import Daemon
from .lab import ALICE, ALICE2, BOB, BOB6, NAT_A, NAT_A2, NAT_B, SERVER4, SERVER6, Place
from .network import wait_for

HOST = "turn.example.test"
REALM = "example.test"
PLAIN, TLS = 3478, 5349
PEER4, PEER6, PEER_PORT = "203.0.113.40", "2001:db8:1::40", 3480
PROXY4, PROXY6 = "203.0.113.50", "2001:db8:1::50"
ALICE6 = "2001:db8:71::2"
SECRET, NEXT_SECRET = "lab-turn-secret-of-today", "lab-turn-secret-of-tomorrow"
STATIC_USER, STATIC_PASSWORD = "carol", "carols-long-password"

GROUPS = """
limits: {{ {limits} }};
turn: {{
  enabled = true;
  host = "{host}";
  realm = "{realm}";
  ports = [ {plain} ];
  tls_ports = [ {tls} ];
  certificate = "{directory}/turn.pem";
  key = "{directory}/turn.key";
  secret_files = [ {secret_files} ];
  users_file = "{directory}/turn-users";
  {turn}
}};
"""


class TurnLab(Place):
    """two_uplinks   Alice has a second uplink behind another NAT, IPv4 only
    proxy         a host for a load balancer
    limits, turn  more settings of these groups"""

    daemon_class = Daemon

    def __init__(self, program, *, two_uplinks=False, proxy=False, limits="", turn="",
                 fastpath="auto", logs=None):
        super().__init__(logs)
        try:
            self._wire(two_uplinks, proxy)
            self.authority = Authority(self.directory)
            self.renew_certificate()
            for name, text in (("secret-1", SECRET), ("secret-2", NEXT_SECRET),
                               ("turn-users", f"{STATIC_USER}:{STATIC_PASSWORD}")):
                self.write(name, text + "\n")
            self.limits, self.turn = limits, turn
            self.daemon = self.daemon_class(
                self.network, self.directory, program, address4=SERVER4, address6=SERVER6,
                fastpath=fastpath, groups=self._groups())
            self.daemon.start()
            wait_for("the daemon listens for TURN", self._listens, 20)
            self.network.start("peer", "turnutils_peer", "-L", PEER4, "-L", PEER6, "-p",
                               str(PEER_PORT), log="peer")
        except BaseException:
            self.give_up()
            raise

    def _groups(self):
        files = ", ".join(f'"{self.directory}/{name}"' for name in ("secret-2", "secret-1"))
        return GROUPS.format(directory=self.directory, host=HOST, realm=REALM, plain=PLAIN, tls=TLS,
                             secret_files=files, limits=self.limits, turn=self.turn)

    def _wire(self, two_uplinks, proxy):
        network = self.network
        network.internet()
        network.host("srv", SERVER4, SERVER6)
        network.host("peer", PEER4, PEER6)
        if proxy:
            network.host("proxy", PROXY4, PROXY6)
        for name, nat, nat4, four, nat6, six in (
                ("alice", "nata", NAT_A, ALICE, "2001:db8:1::21", ALICE6),
                ("bob", "natb", NAT_B, BOB, "2001:db8:1::22", BOB6)):
            network.nat(nat, nat4, four[:-2], nat6, six[:-3])
            network.add(name, ipv6=True)
            network.join(name, nat, four)
            network.join(name, nat, six, device="eth6")
            if proxy:
                network.ip("proxy", "-6", "route", "add", f"{six[:-1]}/64", "via", nat6)
        if two_uplinks:
            network.nat("nata2", NAT_A2, ALICE2[:-2])
            network.join("alice", "nata2", ALICE2, device="eth1", table=200)

    def _listens(self):
        require(self.daemon.process.poll() is None,
                f"the daemon ended with status {self.daemon.process.returncode}")

        def connect():
            try:
                for address in (SERVER4, SERVER6):
                    socket.create_connection((address, PLAIN), 1).close()
                return self.daemon.get("/metrics")[0] == 200
            except OSError:
                return False
        return self.network.inside("srv", connect)

    def write(self, name, text):
        path = f"{self.directory}/{name}"
        with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="utf-8") as file:
            file.write(text)
        os.rename(f"{path}.new", path)
        return path

    def renew_certificate(self):
        """A new certificate in the place of the old one; returns its serial number."""
        return self.authority.issue(f"{self.directory}/turn", [HOST],
                                    [SERVER4, SERVER6, PROXY4, PROXY6])

    def log(self):
        with open(f"{self.directory}/jingle-relayd.log", encoding="utf-8") as log:
            return log.read()

    def allocations(self):
        """The daemon's own list."""
        return self.daemon.json("/api/allocations")["allocations"]

    def no_allocations(self, seconds=10):
        wait_for("all allocations are gone",
                 lambda: self.daemon.metrics()["turn_allocations"] == 0, seconds)

    def client(self, kind, host="alice"):
        return Client(self.network, host, kind, environment={
            "SSL_CERT_FILE": self.authority.certificate})


def credential(user, secret=SECRET, lifetime=3600):
    """{username, password} of TURN REST."""
    username = f"{round(time.time()) + lifetime}:{user}"
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return {"username": username, "password": base64.b64encode(digest).decode()}


class Ledger:
    """What the daemon's own figures grew by since this was made."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.before = daemon.metrics()

    def grown(self, name):
        return round(self.daemon.metrics().get(name, 0) - self.before.get(name, 0))

    def relayed(self):
        """Packets {to peers, to clients}."""
        return {way: self.grown(f'turn_packets_total{{direction="{way}"}}')
                for way in ("to_peer", "to_client")}

    def drops(self):
        now = self.daemon.metrics()
        start = 'turn_drops_total{reason="'
        return {name[len(start):-2]: round(value - self.before.get(name, 0))
                for name, value in now.items()
                if name.startswith(start) and value != self.before.get(name, 0)}


class Endpoint:
    """Client "aioice-turn" in a home, and allocations of it that echo by way of the peer."""

    def __init__(self, lab, host="alice"):
        self.client = lab.client("aioice-turn", host)
        self.ask = self.client.ask

    def allocate(self, name, transport="udp", user=None, server=SERVER4, login=None, port=None,
                 **more):
        """The answer: relayed address, or error."""
        tls = transport == "tls"
        return self.ask("allocate", name=name, server=server, tls=tls,
                        port=port or (TLS if tls else PLAIN),
                        transport="tcp" if tls else transport,
                        **(login or credential(user or self.client.user)), **more)

    def echo(self, *names, peer=(PEER4, PEER_PORT), count=40):
        """Each allocation sends packets to the peer; all must come back. Returns how many."""
        before = {name: self.ask("received", name=name)["count"] for name in names}
        sending = [self.client.post("send", name=name, peer=peer, count=count) for name in names]
        for number in sending:
            self.client.take(number)

        def missing():
            return {name: count - more for name in names
                    if (more := self.ask("received", name=name)["count"] - before[name]) < count}
        with contextlib.suppress(TimeoutError):
            wait_for("the echoes", lambda: not missing(), 3)
        require(not missing(), f"echoes missing: {missing()} of {count}")
        return count * len(names)


class Source:
    """A port of the peer's that sends numbered packets."""

    def __init__(self, lab, port=4000):
        self.address = PEER4, port
        self.socket = lab.network.inside("peer", self._open)

    def _open(self):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(self.address)
        return sock

    def send(self, to, numbers, size=160, pause=0.0):
        for number in numbers:
            self.socket.sendto(number.to_bytes(4, "big").ljust(size, b"."), tuple(to))
            time.sleep(pause)
