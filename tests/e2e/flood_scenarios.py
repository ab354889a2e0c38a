# SPDX-License-Identifier: ISC
"""Floods of strangers against the TURN server: what 10,000 spoofed sources cost it, how many bytes
it sends for a byte that it gets, what one victim is sent of it, and how long the silent stay.

    flood_scenarios.py [--hardened]

prints, as root, the same figures of Debian's coturn, and judges nothing.
"""

import contextlib
import json
import os
import socket
import ssl
import struct
import sys
import time

from lab.call import require
from lab.crowd import (CoturnLab, Crowd, open_lab, request, resident_kib, sources, stun)
from lab.hello import dtls_hello, tls_hello
from lab.lab import SERVER4
from lab.network import wait_for
from lab.scenarios import Scenarios
from lab.turn import PLAIN, REALM, TLS

A, M = stun.A, stun.M

SCENARIOS = Scenarios(open_lab)
scenario, run = SCENARIOS.add, SCENARIOS.run

SPOOFED, WARM_UP = 10000, 4000
GROWTH_KIB = 1024
VICTIM_REQUESTS, STUN_ANSWERS = 2000, 100
CONNECTIONS, PER_ADDRESS = 200, 5
STRANGERS_KIB = 64  # a connection with an unfinished TLS handshake
TRUST_SECONDS = 10  # that a stranger's connection may last


# --- messages ---

PEER = (A.XOR_PEER_ADDRESS, stun.xor_address(("203.0.113.40", 3480), bytes(12)))
NUMBER = (A.CHANNEL_NUMBER, stun.channel(0x4000))
UDP = (A.REQUESTED_TRANSPORT, stun.u8(stun.UDP))
FORGED = ((A.USERNAME, b"1999999999:mallory"), (A.REALM, REALM.encode()),
          (A.NONCE, b"0123456789abcdef"), (A.MESSAGE_INTEGRITY, bytes(20)))

# What strangers can send: name, datagram, and the most bytes of answer for a byte of it that are
# allowed, over IPv4 and IPv6. 0: nothing may come back.
KINDS = (
    ("Binding", lambda: request(M.BINDING), 1.6, 2.2),
    ("Binding with FINGERPRINT", lambda: request(M.BINDING, fingerprint="right"), 1.45, 1.9),
    ("Binding of RFC 3489", lambda: b"\0\1\0\0" + os.urandom(16), 1.6, 2.2),
    ("Binding with CHANGE-REQUEST", lambda: request(M.BINDING, (3, b"\0\0\0\6")), 1.3, 1.3),
    ("Binding with credentials", lambda: request(M.BINDING, *FORGED), 1, 1),
    ("Allocate, no attributes", lambda: request(M.ALLOCATE), 3.6, 3.6),
    ("Allocate, no transport", lambda: request(M.ALLOCATE, (A.SOFTWARE, b"none")), 0, 0),
    ("Allocate", lambda: request(M.ALLOCATE, UDP), 3, 3),
    ("Allocate with FINGERPRINT", lambda: request(M.ALLOCATE, UDP, fingerprint="right"), 2.6, 2.6),
    ("Allocate, wrong credentials", lambda: request(M.ALLOCATE, UDP, *FORGED), 1, 1),
    ("Allocate, unknown attribute", lambda: request(M.ALLOCATE, UDP, (0x7F00, b"")), 2.65, 2.65),
    ("Refresh", lambda: request(M.REFRESH), 1.4, 1.4),
    ("Refresh, wrong credentials", lambda: request(M.REFRESH, *FORGED), 1, 1),
    ("CreatePermission", lambda: request(M.CREATE_PERMISSION, PEER), 1, 1),
    ("ChannelBind", lambda: request(M.CHANNEL_BIND, NUMBER, PEER), 1, 1),
    ("Connect", lambda: request(M.CONNECT, PEER), 0, 0),
    ("unknown method", lambda: request(0x0E), 0, 0),
    ("Send indication",
     lambda: stun.build(M.SEND, stun.INDICATION, [PEER, (A.DATA, b"data")]), 0, 0),
    ("ChannelData", lambda: stun.channel_data(0x4000, b"data"), 0, 0),
    ("a Binding response", lambda: stun.build(M.BINDING, stun.SUCCESS), 0, 0),
    ("STUN with a wrong length",
     lambda: stun.header(M.BINDING, stun.REQUEST, 4, os.urandom(12)), 0, 0),
    ("noise", lambda: bytes([200]) + os.urandom(99), 0, 0),
    ("DTLS ClientHello", dtls_hello, 1, 1),
    ("DTLS noise", lambda: b"\x17\xfe\xfd" + os.urandom(97), 0, 0),
)


# --- memory ---

def spoof_syns(lab, count):
    """TCP SYNs from addresses whose owner never answers."""
    raw = lab.network.inside("attacker", lambda: socket.socket(
        socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))
    server = socket.inet_aton(SERVER4)
    with raw:
        for i in range(count):
            source = struct.pack("!I", 0x0A000000 + i)  # 10.0.0.0/8: the internet swallows answers
            tcp = struct.pack("!HHIIBBHHH", 1024 + i % 60000, PLAIN, i, 0, 0x50, 2, 65535, 0, 0)
            pseudo = source + server + struct.pack("!BBH", 0, 6, len(tcp)) + tcp
            total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
            total = (total & 0xFFFF) + (total >> 16)
            tcp = tcp[:16] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + tcp[18:]
            head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, i % 65536, 0, 64, 6, 0, source, server)
            raw.sendto(head + tcp, (SERVER4, 0))
            if i % 50 == 49:
                time.sleep(0.004)
    time.sleep(0.5)


def memory(lab):
    """{flood: figures}, each after the same in small, for what is allocated once."""
    hello = dtls_hello()
    floods = (
        ("Binding", socket.AF_INET, lambda: request(M.BINDING), PLAIN),
        ("Binding, IPv6", socket.AF_INET6, lambda: request(M.BINDING), PLAIN),
        ("Allocate, no attributes", socket.AF_INET, lambda: request(M.ALLOCATE), PLAIN),
        ("Allocate, no transport", socket.AF_INET,
         lambda: request(M.ALLOCATE, (A.SOFTWARE, b"none")), PLAIN),
        ("Allocate", socket.AF_INET, lambda: request(M.ALLOCATE, UDP), PLAIN),
        ("Allocate, wrong credentials", socket.AF_INET, lambda: request(M.ALLOCATE, UDP, *FORGED),
         PLAIN),
        ("DTLS ClientHello", socket.AF_INET, lambda: hello, TLS),
        ("DTLS ClientHello, IPv6", socket.AF_INET6, lambda: hello, TLS),
    )
    result = {}
    for name, family, make, port in floods:
        with Crowd(lab.network, family) as crowd:
            crowd.flood(make, sources(WARM_UP, family, first=SPOOFED), port)
            before = resident_kib(lab.pid)
            figures = crowd.flood(make, sources(SPOOFED, family), port)
        result[name] = {**figures, "grown_kib": resident_kib(lab.pid) - before}
    before = resident_kib(lab.pid)
    spoof_syns(lab, SPOOFED)
    result["TCP SYN"] = {"sent": SPOOFED, "grown_kib": resident_kib(lab.pid) - before}
    return result


@scenario()
def spoofed_sources(lab):
    """10,000 sources of each kind leave nothing behind, and the server still serves."""
    result = memory(lab)
    require(lab.alive(), "it did not survive")
    for name, figures in result.items():
        require(figures["grown_kib"] < GROWTH_KIB, f"{name}: {figures}")
    for name in ("Binding", "Binding, IPv6", "Allocate", "DTLS ClientHello"):
        require(result[name]["answers"] > SPOOFED * 0.99, f"not answered: {name}: {result[name]}")
    require(result["Allocate, no transport"]["answers"] == 0, "an amplifier answered")
    metrics = lab.daemon.metrics()
    require(metrics["turn_allocations"] == 0, "a stranger has an allocation")
    require(metrics['connections{transport="dtls"}'] == 0, "a spoofed source has a DTLS session")
    lab.network.inside("alice", lambda: socket.create_connection((SERVER4, PLAIN), 5).close())
    return {name: figures["grown_kib"] for name, figures in result.items()}


# --- bytes ---

def amplification(lab):
    """{(kind, family): [bytes out, bytes in]}, each from a network that was silent so far."""
    result = {}
    for number, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        with Crowd(lab.network, family) as crowd:
            addresses = sources(len(KINDS), family, per_prefix=1)
            for (name, make, *_), address in zip(KINDS, addresses):
                data = make()
                crowd.send(address, data, TLS if name.startswith("DTLS") else PLAIN)
                back = sum(len(answer) for _, answer in crowd.received(0.25))
                result[name, number] = [len(data), back]
    return result


def table(measured):
    lines = [f"{'':32} {'IPv4':>16} {'IPv6':>16}"]
    for name, *_ in KINDS:
        cells = [f"{out} -> {back} = {back / out:.1f}"
                 for out, back in (measured[name, 4], measured[name, 6])]
        lines.append(f"{name:32} {cells[0]:>16} {cells[1]:>16}")
    return "\n".join(lines)


@scenario()
def amplification_factors(lab):
    """No answer to a stranger is longer, by more than documented, than what he sent."""
    measured = amplification(lab)
    print(table(measured), file=sys.stderr)
    for name, _, *most in KINDS:
        for family, limit in zip((4, 6), most):
            out, back = measured[name, family]
            require(back <= limit * out, f"{name}, IPv{family}: {out} bytes bring {back}")
    require(measured["Binding", 4] == [20, 32], "Binding is not answered")
    return {f"{name}, IPv{family}": round(back / out, 2)
            for (name, family), (out, back) in measured.items() if back > out}


def one_prefix(family, i):
    """The i-th address of one network."""
    if family == socket.AF_INET:
        return socket.inet_aton(f"198.19.77.{i % 254 + 1}")
    return socket.inet_pton(family, f"2001:db8:ffaa::{i % 254 + 1:x}")


def answers_to_one_prefix(lab, family, make):
    """Of 2,000 requests in the name of one /24 or /56, how many are answered, and in what time."""
    with Crowd(lab.network, family) as crowd:
        start = time.monotonic()
        for i in range(VICTIM_REQUESTS):
            crowd.send(one_prefix(family, i), make())
            if i % 20 == 19:
                time.sleep(0.004)
        seconds = time.monotonic() - start
        return len(crowd.received()), seconds


def victims(lab):
    kinds = (("Binding", socket.AF_INET, lambda: request(M.BINDING)),
             ("Allocate", socket.AF_INET, lambda: request(M.ALLOCATE, UDP)),
             ("Binding, IPv6", socket.AF_INET6, lambda: request(M.BINDING)))
    result = {}
    for name, family, make in kinds:
        result[name] = answers_to_one_prefix(lab, family, make)
        time.sleep(3)  # until the prefix has its whole allowance again
    return result


@scenario(limits=f"stun_answers = {STUN_ANSWERS};")
def one_victim(lab):
    """Who uses us against a victim gets limits.stun_answers a second, two seconds' worth at once;
    another network is served meanwhile."""
    result = victims(lab)
    for name, (answers, seconds) in result.items():
        most = STUN_ANSWERS * (2 + seconds) * 1.1
        require(STUN_ANSWERS / 2 < answers <= most, f"{name}: {answers} answers in {seconds:.1f} s")
    with Crowd(lab.network) as crowd:
        for i in range(VICTIM_REQUESTS):
            crowd.send(one_prefix(socket.AF_INET, i), request(M.BINDING))
        crowd.received()
        crowd.send(socket.inet_aton("198.18.200.1"), request(M.BINDING))
        require(len(crowd.received()) == 1, "another network has no answer")
    return {name: {"sent": VICTIM_REQUESTS, "answers": answers, "seconds": round(seconds, 2)}
            for name, (answers, seconds) in result.items()}


# --- connections ---

def connect(lab, count, addresses, first_bytes, port=PLAIN):
    """So many connections from so many addresses; returns those that were opened."""
    def open_all():
        opened = []
        for i in range(count):
            sock = socket.socket()
            sock.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
            sock.settimeout(2)
            try:
                sock.bind((f"198.18.{i % addresses // 250}.{i % addresses % 250 + 1}", 0))
                sock.connect((SERVER4, port))
                if first_bytes:
                    sock.sendall(first_bytes)
                opened.append(sock)
            except OSError:
                sock.close()
        return opened
    return lab.network.inside("attacker", open_all)


def still_open(connections):
    """How many of them the server has not ended."""
    count = 0
    for sock in connections:
        sock.settimeout(0)
        try:
            while data := sock.recv(65536):
                pass
            count += data != b""
        except BlockingIOError:
            count += 1
        except OSError:
            pass
    return count


def served(lab):
    """Whether a client gets an answer over TCP, and over TLS."""
    def ask():
        context = ssl.create_default_context(cafile=lab.authority.certificate)
        with socket.create_connection((SERVER4, PLAIN), 5) as sock:
            sock.sendall(request(M.BINDING))
            require(sock.recv(1500)[:2] == b"\1\1", "no answer over TCP")
        with socket.create_connection((SERVER4, TLS), 5) as sock:
            with context.wrap_socket(sock, server_hostname=SERVER4) as tls:
                tls.sendall(request(M.BINDING))
                require(tls.recv(1500)[:2] == b"\1\1", "no answer over TLS")
    lab.network.inside("alice", ask)


def silence(lab, count, addresses, first_bytes, port=PLAIN):
    """What silent connections cost, and for how long."""
    before = resident_kib(lab.pid)
    connections = connect(lab, count, addresses, first_bytes, port)
    time.sleep(0.5)
    start = time.monotonic()
    figures = {"tried": count, "open": still_open(connections),
               "grown_kib": resident_kib(lab.pid) - before}
    return connections, figures, start


@scenario(limits=f"connections = {CONNECTIONS}; connections_per_address = {PER_ADDRESS};")
def silent_connections(lab):
    """Connections that say nothing, or half a handshake: bounded in number, in all and from one
    address, and in time; newcomers are served."""
    result = {}
    kinds = (("TCP, silent", b"", PLAIN), ("TLS, only a hello", tls_hello(), TLS))
    for name, data, port in kinds:
        many, figures, start = silence(lab, 1000, 300, data, port)
        few, one, _ = silence(lab, 50, 1, data, port)
        figures["open_of_one"] = one["open"]
        require(0 < figures["open"] <= CONNECTIONS, f"{name}: {figures}")
        require(0 < one["open"] <= PER_ADDRESS * (os.cpu_count() or 1), f"{name}: {figures}")
        require(figures["grown_kib"] < STRANGERS_KIB * CONNECTIONS, f"{name}: {figures}")
        served(lab)
        wait_for(f"{name}: strangers are sent away", lambda: not still_open(many + few),
                 TRUST_SECONDS + 3)
        figures["seconds"] = round(time.monotonic() - start, 1)
        for sock in many + few:
            sock.close()
        result[name] = figures
    gauges = {name: value for name, value in lab.daemon.metrics().items()
              if name.startswith("connections{")}
    require(not any(gauges.values()), f"connections are left: {gauges}")
    return result


def main():
    with CoturnLab(hardened="--hardened" in sys.argv) as lab:
        measured = amplification(lab)
        print(table(measured))
        print(json.dumps({"victims": victims(lab), "memory": memory(lab)}))
        for name, data, port in (("TCP", b"", PLAIN), ("TLS", tls_hello(), TLS)):
            connections, figures, start = silence(lab, 1000, 300, data, port)
            with contextlib.suppress(TimeoutError):
                wait_for("all are ended", lambda: not still_open(connections), 70)
            print(json.dumps({name: {**figures, "seconds": round(time.monotonic() - start, 1)}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
