# SPDX-License-Identifier: ISC
"""A server of names (DNS) for a lab, at 127.0.0.1: nameserver.py RECORD...

A record is "A=name=address" or "SRV=name=target"; there is one of a name, and no others. It prints
an empty line when it can be asked.
"""

import socket
import struct
import sys

A, SRV = 1, 33


def wire(name):
    return b"".join(bytes([len(part)]) + part for part in name.encode().split(b".")) + b"\0"


def read(records):
    """{name: (type, data)}"""
    known = {}
    for record in records:
        kind, name, value = record.split("=")
        known[wire(name)] = (A, socket.inet_aton(value)) if kind == "A" else (
            SRV, struct.pack(">HHH", 0, 0, 3478) + wire(value))
    return known


def answer(query, known):
    end = query.index(b"\0", 12) + 5
    name, (kind,) = query[12:end - 4].lower(), struct.unpack(">H", query[end - 4:end - 2])
    found, data = known.get(name, (None, b""))
    record = struct.pack(">HHHIH", 0xc00c, kind, 1, 60, len(data)) + data
    flags = 0x8180 if found else 0x8183  # no such name
    return (query[:2] + struct.pack(">HHHHH", flags, 1, found == kind, 0, 0) + query[12:end]
            + (record if found == kind else b""))


def main():
    known = read(sys.argv[1:])
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    print(flush=True)
    while True:
        query, sender = server.recvfrom(512)
        server.sendto(answer(query, known), sender)


if __name__ == "__main__":
    main()
