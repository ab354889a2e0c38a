# SPDX-License-Identifier: ISC
"""Copies of all that passes the relay's interface, with the time of each datagram."""

import socket
import struct
import time

SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35  # Linux; not in the socket module
ETH_P_ALL, ETH_P_IP = 3, b"\x08\x00"
STUN_COOKIE = bytes.fromhex("2112a442")


def is_check(data):
    """A Binding request (RFC 8489 section 5)."""
    return data[:2] == b"\0\1" and data[4:8] == STUN_COOKIE


def is_media(data):
    """RTP or RTCP (RFC 7983)."""
    return len(data) > 12 and 128 <= data[0] <= 191


class Wiretap:
    """Listens from its creation on."""

    def __init__(self, network):
        self.socket = network.inside("srv", lambda: socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def _frame(self, seconds):
        """(time, frame), or None when nothing comes for so long."""
        self.socket.settimeout(max(0.001, seconds))
        try:
            frame, extra, _, _ = self.socket.recvmsg(65536, 64)
        except TimeoutError:
            return None
        whole, nano = struct.unpack("@qq", extra[0][2])
        return whole + nano / 1e9, frame

    def datagrams(self, seconds=0):
        """Yields (time, source, source port, target, target port, data) of the UDP over IPv4 that was
        captured, and goes on waiting for so many seconds."""
        end = time.monotonic() + seconds
        while captured := self._frame(end - time.monotonic()):
            at, frame = captured
            ip = frame[14:]
            if frame[12:14] != ETH_P_IP or ip[9] != socket.IPPROTO_UDP:
                continue
            udp = ip[(ip[0] & 15) * 4:]
            source_port, target_port, length = struct.unpack_from("!HHH", udp)
            yield (at, socket.inet_ntoa(ip[12:16]), source_port, socket.inet_ntoa(ip[16:20]),
                   target_port, udp[8:length])

    def next_check(self, relay, seconds=10):
        """The next check that a client sends to the relay: (relay port, datagram)."""
        for _, _, _, target, port, data in self.datagrams(seconds):
            if target == relay and is_check(data):
                return port, data
        raise TimeoutError("no connectivity check was seen")

    def followed_in(self, address):
        """How many ms after the first check from an address the relay sent media there; None if it
        did not."""
        first = None
        for at, source, _, target, _, data in self.datagrams():
            if source == address and is_check(data):
                first = first or at
            elif first and target == address and is_media(data):
                return round((at - first) * 1000)
        return None
