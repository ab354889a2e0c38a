# SPDX-License-Identifier: ISC
"""A lab put together: the internet, an XMPP server, the daemon, and the homes of Alice and Bob."""

import contextlib
import os
import shutil
import tempfile

from .client import Client
from .daemon import Daemon
from .network import Network, wait_for
from .servers import RELAY, Prosody

SERVER4, SERVER6 = "203.0.113.10", "2001:db8:1::10"
ATTACKER4 = "203.0.113.66"
NAT_A, NAT_B, NAT_A2, NAT_A_NEW = "203.0.113.21", "203.0.113.22", "203.0.113.23", "203.0.113.31"
ALICE, ALICE2, BOB = "192.168.71.2", "192.168.73.2", "192.168.72.2"
BOB_SAME_LAN = "192.168.71.3"
BOB6 = "2001:db8:72::2"


def through_relay(jid):
    """bob@example.test/x as Bob behind the relay (XEP-0106)."""
    bare, _, resource = jid.partition("/")
    return f"{bare.replace('@', chr(92) + '40')}@{RELAY}/{resource}"


class Place:
    """A network, and a directory for what runs in it; a context manager that removes both."""

    def __init__(self, logs=None):
        self.logs = logs  # where logs are kept when it goes wrong
        self.directory = tempfile.mkdtemp(prefix="jingle-relayd-lab-")
        self.network = Network(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind and self.logs:
                self.save_logs()
        finally:
            self.close()

    def save_logs(self):
        shutil.rmtree(self.logs, ignore_errors=True)
        keep = shutil.ignore_patterns("prosody", "ejabberd", "chromium-*", "desktop-*",
                                      "control")
        shutil.copytree(self.directory, self.logs, ignore=keep)

    def give_up(self):
        """What has begun in vain: its logs are kept, too."""
        if self.logs:
            with contextlib.suppress(Exception):
                self.save_logs()
        self.close()

    def close(self):
        self.network.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Lab(Place):
    """Alice and Bob each behind a NAT of their own, unless told otherwise:

    same_lan      both on one LAN, so that a direct path exists
    bob_on_ipv6   Bob has IPv6 only, Alice IPv4 only
    two_uplinks   Alice has a second interface, behind another NAT
    attacker      a stranger on the same internet
    ice_ports     "dedicated": each ICE path has ports of its own
    arguments     of the daemon, beside its configuration
    """

    groups = ""  # more of its configuration
    daemon_class = Daemon

    def __init__(self, daemon, *, server=Prosody, same_lan=False, bob_on_ipv6=False,
                 two_uplinks=False, attacker=False, policy="fallback",
                 ice_ports="shared", fastpath="auto", arguments=(), logs=None):
        super().__init__(logs)
        self.bob_on_ipv6 = bob_on_ipv6
        addresses6 = [SERVER6] if bob_on_ipv6 else []
        try:
            self._wire(same_lan, bob_on_ipv6, two_uplinks, attacker)
            self.prepare()
            self.server = server(self.network, self.directory, [SERVER4, *addresses6])
            self.daemon = self.daemon_class(
                self.network, self.directory, daemon, address4=SERVER4,
                address6=SERVER6 if bob_on_ipv6 else None, policy=policy, ice_ports=ice_ports,
                fastpath=fastpath, groups=self.groups)
            os.chmod(self.directory, 0o755)
            self.server.start()
            self.daemon.start(*arguments)
            wait_for("the daemon's connection to the XMPP server", self.daemon.is_up, 20)
        except BaseException:
            self.give_up()
            raise

    def _wire(self, same_lan, bob_on_ipv6, two_uplinks, attacker):
        network = self.network
        network.internet()
        network.host("srv", SERVER4, SERVER6 if bob_on_ipv6 else None)
        network.nat("nata", NAT_A, "192.168.71")
        network.add("alice")
        network.join("alice", "nata", ALICE)
        if two_uplinks:
            network.nat("nata2", NAT_A2, "192.168.73")
            network.join("alice", "nata2", ALICE2, device="eth1", table=200)
        network.add("bob", ipv6=bob_on_ipv6)
        if same_lan:
            network.join("bob", "nata", BOB_SAME_LAN)
        elif bob_on_ipv6:
            network.nat("natb", NAT_B, "192.168.72", "2001:db8:1::22", "2001:db8:72")
            network.join("bob", "natb", BOB6)
        else:
            network.nat("natb", NAT_B, "192.168.72")
            network.join("bob", "natb", BOB)
        if attacker:
            network.host("attacker", ATTACKER4)

    def prepare(self):
        """Called when the network exists and nothing runs yet."""

    def client(self, kind, user):
        """Starts a client in its home; connect() joins it to the server."""
        return Client(self.network, user, kind)

    def connect(self, client):
        on_ipv6 = client.user == "bob" and self.bob_on_ipv6
        client.connect(SERVER6 if on_ipv6 else SERVER4)
