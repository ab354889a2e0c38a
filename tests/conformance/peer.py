# SPDX-License-Identifier: ISC
"""Peers: what a TURN server relays to. Plain UDP sockets, and raw ones for what a socket hides."""

import select
import socket
import struct
import time

from link import family_of


class Peer:
    """A UDP socket on one of the suite's peer addresses."""

    def __init__(self, host, trace, port=0):
        self.host = host
        self.trace = trace
        self.sock = socket.socket(family_of(host), socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.sock.bind((host, port))
        if self.sock.family == socket.AF_INET:
            self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        self.tos = None  # of what was received last

    @property
    def address(self):
        return self.sock.getsockname()[:2]

    def send(self, data, to):
        self.trace.append((">", "peer", bytes(data)))
        self.sock.sendto(data, to)

    def receive(self, seconds):
        """(data, source), or (None, None) when nothing comes."""
        if not select.select([self.sock], [], [], max(0, seconds))[0]:
            return None, None
        data, control, _, source = self.sock.recvmsg(65536, 256)
        for level, kind, value in control:
            if (level, kind) == (socket.IPPROTO_IP, socket.IP_TOS):
                self.tos = value[0]
        self.trace.append(("<", "peer", data))
        return data, source[:2]

    def until(self, marker, seconds):
        """What was received up to and without 'marker'; None when the marker does not come."""
        seen, end = [], time.monotonic() + seconds
        while True:
            data, _ = self.receive(end - time.monotonic())
            if data is None:
                return None
            if data == marker:
                return seen
            seen.append(data)

    def close(self):
        self.sock.close()


class Sniffer:
    """Sees the IPv4 headers of the datagrams to one address (needs root)."""

    def __init__(self, host):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
        self.sock.bind((host, 0))

    def header(self, port, payload, seconds):
        """(DF set, TOS, identification) of a datagram to this port that ends with 'payload', or
        None."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.sock], [], [], left)[0]:
                return None
            packet = self.sock.recv(65536)
            size = (packet[0] & 15) * 4
            if packet[size + 2:size + 4] == struct.pack("!H", port) and packet.endswith(payload):
                return bool(packet[6] & 0x40), packet[1], packet[4:6]
        return None

    def close(self):
        self.sock.close()


def checksum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def send_icmp(source, about, kind, code, info=0):
    """An ICMP error from 'source' about a datagram from about[0] to about[1], each (host, port)
    (needs root). 'info' is the word after the checksum: the MTU, where there is one."""
    (relayed, sport), (peer, dport) = about
    udp = struct.pack("!HHHH", sport, dport, 8 + 16, 0) + b"conformance-icmp"
    if family_of(relayed) == socket.AF_INET:
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0x4000, 63, 17, 0,
                         socket.inet_aton(relayed), socket.inet_aton(peer))
        body = struct.pack("!BBHI", kind, code, 0, info) + ip + udp
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        protocol = socket.IPPROTO_ICMP
    else:
        ip = struct.pack("!IHBB", 6 << 28, len(udp), 17, 63)
        ip += socket.inet_pton(socket.AF_INET6, relayed) + socket.inet_pton(socket.AF_INET6, peer)
        body = struct.pack("!BBHI", kind, code, 0, info) + ip + udp
        protocol = socket.IPPROTO_ICMPV6  # the system fills in the checksum
    with socket.socket(family_of(relayed), socket.SOCK_RAW, protocol) as sock:
        sock.bind((source, 0))
        sock.sendto(body, (relayed, 0))
