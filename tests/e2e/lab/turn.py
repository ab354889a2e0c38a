# SPDX-License-Identifier: ISC
"""A lab for TURN: the relay, a peer that echoes, and the homes of Alice and Bob.

Every host has both address families. Alice and Bob are each behind a NAT (IPv4) or a firewall
(IPv6), so that nothing reaches them directly. There is no XMPP server: TURN has to work without.
"""

import base64
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

    def __init__(self, program, *, two_uplinks=False, proxy=False, limits="", turn="", logs=None):
        super().__init__(logs)
        try:
            self._wire(two_uplinks, proxy)
            self.authority = Authority(self.directory)
            self.renew_certificate()
            for name, text in (("secret-1", SECRET), ("secret-2", NEXT_SECRET),
                               ("turn-users", f"{STATIC_USER}:{STATIC_PASSWORD}")):
                self.write(name, text + "\n")
            self.limits, self.turn = limits, turn
            self.daemon = Daemon(self.network, self.directory, program, address4=SERVER4,
                                 address6=SERVER6, groups=self.groups("secret-1"))
            self.daemon.start()
            wait_for("the daemon listens for TURN", self._listens, 20)
            self.network.start("peer", "turnutils_peer", "-L", PEER4, "-L", PEER6, "-p",
                               str(PEER_PORT), log="peer")
        except BaseException:
            self.close()
            raise

    def groups(self, *secrets):
        files = ", ".join(f'"{self.directory}/{name}"' for name in secrets)
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


def allocations(lab):
    return round(lab.daemon.metrics()["turn_allocations"])


def no_allocations(lab, seconds=10):
    wait_for("all allocations are gone", lambda: allocations(lab) == 0, seconds)
