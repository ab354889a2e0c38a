# SPDX-License-Identifier: ISC
"""A name server for a lab: names.py NAME=ADDRESS... answers A questions for these names on
127.0.0.1:53, and says of all else that it does not exist. Servers look for each other by SRV
records first, and some wait long for a name server that is not there.
"""

import socket
import struct
import sys

A, IN, NXDOMAIN = 1, 1, 3


def question(packet):
    """(name, type, end of the question) of the first question (RFC 1035 section 4.1.2)."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("ascii"))
        at += 1 + packet[at]
    kind, = struct.unpack_from("!H", packet, at + 1)
    return ".".join(labels).lower(), kind, at + 5


def answer(packet, known):
    name, kind, end = question(packet)
    records = b""
    if name in known and kind == A:
        records = struct.pack("!HHHIH", 0xC00C, A, IN, 60, 4) + socket.inet_aton(known[name])
    code = 0 if name in known else NXDOMAIN
    header = packet[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, bool(records), 0, 0)
    return header + packet[12:end] + records


def main():
    known = dict(argument.split("=") for argument in sys.argv[1:])
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    while True:
        packet, source = server.recvfrom(4096)
        try:
            server.sendto(answer(packet, known), source)
        except (IndexError, struct.error, UnicodeDecodeError):
            print(f"not a question: {packet.hex()}", file=sys.stderr)


if __name__ == "__main__":
    main()
