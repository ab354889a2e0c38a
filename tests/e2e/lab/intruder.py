# SPDX-License-Identifier: ISC
"""Who attacks a TURN server with what anybody can have: clients with credentials, that say anything
(tests/conformance/client.py), and datagrams in another's name."""

import os
import random
import select
import socket
import struct
import subprocess
import sys
import types

from .call import Failure
from .lab import SERVER4, SERVER6
from .turn import PLAIN, SECRET, TLS, credential

sys.path.insert(0, f"{os.path.dirname(os.path.abspath(__file__))}/../../conformance")
import link  # noqa: E402
from client import Client  # noqa: E402



class UdpLink(link.UdpLink):
    """From a port of one's choice."""

    def __init__(self, server, source, trace, port=0):
        super().__init__(server, source, trace)
        if port:
            self.sock.close()
            self.sock = socket.socket(link.family_of(server[0]), socket.SOCK_DGRAM)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            self.sock.bind((source or "", port))


TIMING = types.SimpleNamespace(answer=2, again=0.5)
LINKS = {"udp": (UdpLink, PLAIN), "tcp": (link.TcpLink, PLAIN), "tls": (link.TlsLink, TLS)}


def login(lab, user="alice", host="alice", transport="udp", family=4, address=None, port=0,
          secret=SECRET):
    """A client on that host, with a good credential, that has done nothing yet."""
    make, server_port = LINKS[transport]
    server = (SERVER4 if family == 4 else SERVER6, server_port)
    options = {"port": port} if port else {}
    connection = lab.network.inside(host, lambda: make(server, address, [], **options))
    good = credential(user, secret)
    return Client(connection, (good["username"], good["password"]), TIMING)


def allocated(lab, *attributes, **options):
    """A client with an allocation."""
    client = login(lab, **options)
    client.allocate(*attributes)
    return client


def udp_socket(lab, host, address="", port=0):
    def open_it():
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                             socket.SOCK_DGRAM)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        return sock
    return lab.network.inside(host, open_it)


def heard(sock, seconds=0.3):
    """[(data, source)] of what came, until nothing did for so long."""
    sock.settimeout(seconds)
    result = []
    while True:
        try:
            data, source = sock.recvfrom(65536)
        except TimeoutError:
            return result
        result.append((data, source[:2]))


class Impostor:
    """Sends datagrams from the attacker's host in another's name: IPv4, on the same internet."""

    def __init__(self, lab, claimed):
        self.claimed = claimed  # (address, port)
        self.raw = lab.network.inside("attacker", lambda: socket.socket(
            socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))

    def send(self, data, to):
        address, port = self.claimed
        udp = struct.pack("!HHHH", port, to[1], 8 + len(data), 0) + data  # checksum 0: none
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), random.randrange(65536), 0, 64,
                           socket.IPPROTO_UDP, 0, socket.inet_aton(address),
                           socket.inet_aton(to[0]))
        self.raw.sendto(head + udp, (to[0], 0))

    def close(self):
        self.raw.close()


class DtlsClient:
    """A DTLS session of the openssl program's: bytes in, bytes out. Without -nbio it would wait in
    recvfrom() for ever after a record that it ignores."""

    def __init__(self, lab, port, host="alice"):
        self.process = lab.network.start(
            host, "openssl", "s_client", "-dtls1_2", "-quiet", "-nbio", "-connect",
            f"{SERVER4}:{TLS}", "-bind", f"0.0.0.0:{port}", log="openssl",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)

    def ask(self, data, times=5):
        """What came back, or b"". Sent again every second, as STUN over DTLS has to be."""
        for _ in range(times):
            try:
                self.process.stdin.write(data)
                self.process.stdin.flush()
            except BrokenPipeError as error:
                raise Failure("the DTLS session has ended") from error
            if select.select([self.process.stdout], [], [], 1)[0]:
                return self.process.stdout.read() or b""
        return b""
