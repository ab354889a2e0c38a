# SPDX-License-Identifier: ISC
"""A stranger on the same internet, and a wiretap at the relay that makes him strong: he gets copies
of honest connectivity checks and may send them again from his own address."""

import secrets
import socket
import struct
import time

from .daemon import PORTS
from .lab import SERVER4

ETH_P_IP = 0x0800
STUN_COOKIE = bytes.fromhex("2112a442")


def _checks_in(frame):
    """(relay port, datagram) when an Ethernet frame holds a Binding request to the relay."""
    ip = frame[14:]
    if len(ip) < 28 or ip[9] != socket.IPPROTO_UDP or ip[16:20] != socket.inet_aton(SERVER4):
        return None
    udp = ip[(ip[0] & 15) * 4:]
    port, length = struct.unpack_from("!HH", udp, 2)
    data = udp[8:length]
    if port not in range(PORTS[0], PORTS[1] + 1) or data[:2] != b"\0\1" or data[4:8] != STUN_COOKIE:
        return None
    return port, data


class Wiretap:
    """Copies of all that passes the relay's interface from now on."""

    def __init__(self, network):
        self.socket = network.inside("srv", lambda: socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP)))

    def next_check(self, seconds=10):
        """The next honest check to the relay: (port, datagram)."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            found = _checks_in(self.socket.recv(65536))
            if found:
                return found
        raise TimeoutError("no connectivity check was seen")


class Stranger:
    def __init__(self, network):
        self.socket = network.inside("attacker", self._open)

    @staticmethod
    def _open():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("0.0.0.0", 0))
        return sock

    def send(self, port, data):
        self.socket.sendto(data, (SERVER4, port))

    def received(self):
        """How many datagrams came back."""
        self.socket.settimeout(0.3)
        count = 0
        try:
            while self.socket.recv(65536):
                count += 1
        except TimeoutError:
            return count

    # --- what he tries ---

    def forge(self, port, check):
        """A check of his own with a true USERNAME, but without knowing the password: everything but
        the transaction id is copied, so MESSAGE-INTEGRITY is wrong."""
        self.send(port, check[:8] + secrets.token_bytes(12) + check[20:])

    def media(self, port, count=50):
        """Packets that look like RTP."""
        ssrc = secrets.token_bytes(4)
        for number in range(count):
            self.send(port, struct.pack("!BBHI", 0x80, 0, number, number * 160) + ssrc + bytes(160))

    def spray(self):
        for port in range(PORTS[0], PORTS[1] + 1):
            self.media(port, 3)

    def dtls_hello(self, port):
        """The record and handshake headers of a ClientHello (RFC 6347 section 4), then noise."""
        body = bytes.fromhex("fefd") + secrets.token_bytes(32) + bytes(4)
        length = len(body).to_bytes(3, "big")
        handshake = b"\1" + length + bytes(5) + length + body
        self.send(port, bytes.fromhex("16feff0000000000000000") + struct.pack("!H", len(handshake))
                  + handshake)
