# SPDX-License-Identifier: ISC
"""A stranger on the same internet. With copies of honest connectivity checks (wiretap.py) he is as
strong as a stranger can be who does not know the passwords of a call."""

import secrets
import socket
import struct
import zlib

from .daemon import PORTS
from .lab import SERVER4


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
        the transaction id is copied, so MESSAGE-INTEGRITY is wrong. FINGERPRINT, which comes last and
        needs no secret (RFC 8489 section 14.7), is made right."""
        data = check[:8] + secrets.token_bytes(12) + check[20:-4]
        self.send(port, data + struct.pack("!I", zlib.crc32(data[:-4]) ^ 0x5354554E))

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
