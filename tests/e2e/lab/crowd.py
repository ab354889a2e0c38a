# SPDX-License-Identifier: ISC
"""Labs for attacks on a TURN server, and a crowd of strangers: a host with thousands of addresses.

OpenLab has the daemon. CoturnLab has coturn in its place, for comparing; no test needs it.
"""

import collections
import contextlib
import os
import socket
import struct
import sys
import time

from .authority import Authority
from .call import require
from .lab import ATTACKER4, SERVER4, SERVER6, Place
from .network import wait_for
from .turn import HOST, PLAIN, REALM, SECRET, TLS, TurnLab

sys.path.insert(0, f"{os.path.dirname(os.path.abspath(__file__))}/../../conformance")
import stun  # noqa: E402

ALICE4, ALICE6 = "203.0.113.20", "2001:db8:1::20"
FRIEND4, FRIEND6 = "203.0.113.40", "2001:db8:1::40"  # a peer; turnutils_peer has its port 3480
ATTACKER6 = "2001:db8:1::66"
# Every address in here is the attacker's; RFC 2544 and RFC 3849.
CROWD4, CROWD6 = "198.18.0.0/15", "2001:db8:ff00::/40"
IP_FREEBIND, IPV6_FREEBIND = 15, 78
IP_PKTINFO = 8

COTURN = """
listening-ip={ip4}
listening-ip={ip6}
relay-ip={ip4}
relay-ip={ip6}
listening-port={plain}
tls-listening-port={tls}
min-port=50000
max-port=50199
realm={realm}
use-auth-secret
static-auth-secret={secret}
cert={directory}/turn.pem
pkey={directory}/turn.key
no-cli
no-stdout-log
log-file={directory}/turn.log
simple-log
pidfile={directory}/turn.pid
userdb={directory}/turndb.sqlite
"""
HARDENED = """
no-software-attribute
no-rfc5780
no-stun-backward-compatibility
response-origin-only-with-rfc5780
no-multicast-peers
"""


def request(method, *attributes, **options):
    return stun.build(method, stun.REQUEST, attributes, **options)


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def _wire(network):
    """The server, a client, its peer and an attacker, all on one internet without NAT."""
    network.internet()
    network.host("srv", SERVER4, SERVER6)
    network.host("alice", ALICE4, ALICE6)
    network.host("peer", FRIEND4, FRIEND6)
    network.host("attacker", ATTACKER4, ATTACKER6)
    network.ip("attacker", "route", "add", "local", CROWD4, "dev", "lo")
    network.ip("attacker", "-6", "route", "add", "local", CROWD6, "dev", "lo")
    network.ip("srv", "route", "add", CROWD4, "via", ATTACKER4)
    network.ip("srv", "-6", "route", "add", CROWD6, "via", ATTACKER6)
    network.sysctl("attacker", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.ip_nonlocal_bind=1")


class OpenLab(TurnLab):
    def _wire(self, two_uplinks, proxy):
        _wire(self.network)

    @property
    def pid(self):
        return self.daemon.process.pid

    def alive(self):
        return self.daemon.process.poll() is None


class CoturnLab(Place):
    def __init__(self, hardened=False):
        super().__init__()
        try:
            _wire(self.network)
            Authority(self.directory).issue(f"{self.directory}/turn", [HOST], [SERVER4, SERVER6])
            config = f"{self.directory}/turnserver.conf"
            with open(config, "w", encoding="utf-8") as file:
                file.write(COTURN.format(ip4=SERVER4, ip6=SERVER6, plain=PLAIN, tls=TLS,
                                         realm=REALM, secret=SECRET, directory=self.directory)
                           + (HARDENED if hardened else ""))
            self.process = self.network.start("srv", "turnserver", "-c", config, log="coturn")
            self.pid = self.process.pid
            wait_for("coturn", self._listens, 20)
            time.sleep(1)  # its threads begin after its sockets
        except BaseException:
            self.give_up()
            raise

    def alive(self):
        return self.process.poll() is None

    def _listens(self):
        require(self.alive(), "coturn ended")

        def connect():
            with contextlib.suppress(OSError):
                socket.create_connection((SERVER4, PLAIN), 1).close()
                return True
            return False
        return self.network.inside("srv", connect)


def sources(count, family=socket.AF_INET, per_prefix=30, first=0):
    """That many addresses of the crowd from the first on, so many of them in each /24 or /56."""
    for i in range(first, first + count):
        prefix, host = divmod(i, per_prefix)
        if family == socket.AF_INET:
            yield socket.inet_pton(family, f"198.{18 + prefix // 256}.{prefix % 256}.{host + 1}")
        else:
            yield socket.inet_pton(family, f"2001:db8:ff{prefix // 256:02x}:"
                                           f"{prefix % 256:02x}00::{host + 1:x}")


class Crowd:
    """UDP from any address of the crowd, all from one socket, and what comes back there."""

    def __init__(self, network, family=socket.AF_INET, host="attacker"):
        self.family = family
        self.server = SERVER4 if family == socket.AF_INET else SERVER6
        self.socket = network.inside(host, self._open)

    def _open(self):
        sock = socket.socket(self.family, socket.SOCK_DGRAM)
        if self.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(("", 0))
        return sock

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, source, data, port=PLAIN):
        """From that packed address."""
        if self.family == socket.AF_INET:
            control = (socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4x", 0, source))
        else:
            control = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source + struct.pack("=i", 0))
        self.socket.sendmsg([data], [control], 0, (self.server, port))

    def received(self, patience=0.4):
        """[(packed destination, data)] of all answers, until there were none for so long."""
        answers = []
        self.socket.settimeout(patience)
        while True:
            try:
                data, control, _, _ = self.socket.recvmsg(65536, 128)
            except TimeoutError:
                return answers
            to = next(value for _, kind, value in control if kind in (IP_PKTINFO,
                                                                      socket.IPV6_PKTINFO))
            answers.append((to[8:12] if self.family == socket.AF_INET else to[:16], data))

    def flood(self, make, addresses, port=PLAIN, pace=50):
        """One datagram make() from each of these addresses; returns figures. After each 'pace' of
        them a pause, so that none is lost in the server's socket."""
        figures = collections.Counter(answers=0, bytes_in=0)
        for i, source in enumerate(addresses):
            data = make()
            self.send(source, data, port)
            figures["sent"] += 1
            figures["bytes_out"] += len(data)
            if i % pace == pace - 1:
                time.sleep(0.004)
                self._count(figures, 0)
        self._count(figures, 0.4)
        return figures

    def _count(self, figures, patience):
        self.socket.settimeout(patience or 0.0001)
        with contextlib.suppress(TimeoutError, BlockingIOError):
            while True:
                figures["bytes_in"] += len(self.socket.recv(65536))
                figures["answers"] += 1


@contextlib.contextmanager
def without_quarantine():
    """AddressSanitizer keeps freed memory; what is measured here must not count it."""
    before = os.environ.get("ASAN_OPTIONS", "")
    os.environ["ASAN_OPTIONS"] = ":".join(
        [o for o in (before, "quarantine_size_mb=0", "thread_local_quarantine_size_kb=0") if o])
    try:
        yield
    finally:
        os.environ["ASAN_OPTIONS"] = before


@contextlib.contextmanager
def open_lab(daemon, **options):
    with without_quarantine(), OpenLab(daemon, **options) as lab:
        yield lab
