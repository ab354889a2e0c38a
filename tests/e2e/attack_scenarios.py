# SPDX-License-Identifier: ISC
"""Attacks by which other TURN servers were broken, each tried against the running daemon by a
client with good credentials, or by a stranger. docs/SECURITY.md has them in a table.
"""

import itertools
import os
import random
import select
import socket
import ssl
import subprocess
import time

from lab.call import require
from lab.crowd import ALICE4, FRIEND4, FRIEND6, open_lab, request, stun
from lab.hello import dtls_hello, tls_hello
from lab.intruder import DtlsClient, Impostor, allocated, heard, link, login, udp_socket
from lab.lab import SERVER4
from lab.network import wait_for
from lab.scenarios import Scenarios
from lab.turn import PLAIN, TLS

A, M = stun.A, stun.M

SCENARIOS = Scenarios(open_lab)
scenario, run = SCENARIOS.add, SCENARIOS.run

TRAP = 7777                  # a service of the relay's host that nobody may reach
ECHO = (FRIEND4, 3480)       # a peer that answers
NO_QUOTA = "allocations_per_user = 0;"
UDP = (A.REQUESTED_TRANSPORT, stun.u8(stun.UDP))


def allocations(lab):
    return round(lab.daemon.metrics()["turn_allocations"])


def connections(lab):
    return sum(value for name, value in lab.daemon.metrics().items()
               if name.startswith("connections{"))


def ports(lab):
    """{state: number} of the relay's ports."""
    metrics = lab.daemon.metrics()
    return {state: round(metrics[f'ports{{state="{state}"}}'])
            for state in ("used", "quarantined", "free")}


def echoes(client, peer=ECHO, number=None):
    """Whether data goes to a peer and back."""
    data = os.urandom(20)
    for _ in range(3):  # ICMP errors come as indications, too, and the peer may have to start
        if number:
            client.channel(number, data)
        else:
            client.send(peer, data)
        end = time.monotonic() + 0.7
        while (left := end - time.monotonic()) > 0:
            back = client.receive_data(left)
            if back is not None and data == (back.data if isinstance(back, stun.ChannelData)
                                             else back.get(A.DATA)):
                return True
    return False


# --- whom a client may reach ---

FORBIDDEN4 = ("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "10.0.0.1", "100.64.0.1",
              "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1",
              "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "224.0.0.1",
              "239.255.255.250", "240.0.0.1", "255.255.255.255")
# The loopback, private addresses and the relay's own host in every spelling of IPv4 in IPv6.
SPELLED = ("::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1",
           "64:ff9b:1:7f00:0:100::", "2002:7f00:1::1", "2001:0:7f00:1::1",
           "2001::80ff:fffe", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1",
           "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b::cb00:710a",
           "2002:cb00:710a::1")
FORBIDDEN6 = ("::", "::1", "100::1", "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1",
              "ff0e::1", "5f00::1", *SPELLED)


def refusals(client, addresses):
    """What each address gets as a peer; the others' answers must not depend on it."""
    answers = {}
    for address in addresses:
        codes = [client.with_peers(M.CREATE_PERMISSION, [(address, TRAP)]).code,
                 client.ask_channel(0x4001, (address, TRAP)).code]
        if codes != [403, 403] and codes != [443, 443]:
            answers[address] = codes
        client.send((address, TRAP), b"to a forbidden peer")
        client.channel(0x4001, b"to a forbidden peer")
    return answers


@scenario(limits=NO_QUOTA)
def attack_forbidden_peers(lab):
    """Loopback, private and special addresses, in every spelling, are no peers: nothing that
    listens on the relay's host hears a byte."""
    traps = [udp_socket(lab, "srv", "0.0.0.0", TRAP), udp_socket(lab, "srv", "::", TRAP)]
    four, six = allocated(lab), allocated(
        lab, (A.REQUESTED_ADDRESS_FAMILY, stun.u8(stun.IPV6)), port=4100)
    wrong = {**refusals(four, FORBIDDEN4), **refusals(six, FORBIDDEN6), **refusals(four, SPELLED)}
    require(not wrong, f"not refused: {wrong}")
    got = sum((heard(trap) for trap in traps), [])
    require(not got, f"a service of the host was reached: {got}")
    mixed = four.with_peers(M.CREATE_PERMISSION, [ECHO, ("127.0.0.1", TRAP)])
    require(mixed.code == 403, f"a good peer took a forbidden one along: {mixed}")
    require(not echoes(four), "a refused request has left a permission behind")
    four.permit(ECHO)
    six.permit((FRIEND6, 3480))
    require(echoes(four) and echoes(six, (FRIEND6, 3480)), "an honest peer is not reached")
    return {"tried": len(FORBIDDEN4) + len(FORBIDDEN6) + len(SPELLED)}


@scenario()
def attack_own_services(lab):
    """The relay's own listeners and ports, its statistics and what else its host serves. The port
    that it shares with the paths of calls is a peer for their sake; the server there is silent."""
    trap = udp_socket(lab, "srv", "0.0.0.0", TRAP)
    client = allocated(lab)
    tried = [(host, port) for host in (SERVER4, f"::ffff:{SERVER4}")
             for port in (TLS, 8791, 5347, 22, 53, TRAP, 50000, 50199)
             if port != client.relayed[0][1]]
    for peer in tried:
        # A permission is for an IP address, and this one has relayed ports, which are peers.
        client.with_peers(M.CREATE_PERMISSION, [peer])
        channel = client.ask_channel(0x4001, peer)
        require(channel.code == 403, f"{peer}: {channel}")
        client.send(peer, request(M.BINDING))
        require(client.receive_data(0.2) is None, f"{peer} answered")
    require(client.ask_channel(0x4002, (SERVER4, PLAIN)).ok, "a path cannot be a peer")
    for method in M.BINDING, M.ALLOCATE:
        client.send((SERVER4, PLAIN), request(method))
        require(client.receive_data(0.2) is None, f"{method}: the server talks to itself")
    require(not heard(trap), "a service of the host was reached")
    lab.network.run("srv", "ip", "address", "add", "203.0.113.99/32", "dev", "lo")
    wait_for("an address that the host got later is refused",
             lambda: client.ask_channel(0x4003, ("203.0.113.99", TRAP)).code == 403, 20)
    return {"tried": len(tried)}


@scenario(limits=NO_QUOTA)
def attack_loops(lab):
    """An allocation that is its own peer, and two that are each other's: a datagram goes once."""
    one, two = allocated(lab), allocated(lab, port=4101)
    before = lab.daemon.metrics()
    for client, peer in ((one, one.relayed[0]), (one, two.relayed[0]), (two, one.relayed[0])):
        client.permit(peer)
    one.send(one.relayed[0], b"to myself")
    items = one.link.drain(1)
    require([i.get(A.DATA) for i in items] == [b"to myself"], f"its own echo: {items}")
    one.send(two.relayed[0], b"to the other")
    items = two.link.drain(1)
    require([i.get(A.DATA) for i in items] == [b"to the other"], f"at the other: {items}")
    require(items[0].address(A.XOR_PEER_ADDRESS) == one.relayed[0], "from a wrong address")
    relayed = {way: lab.daemon.metrics()[f'turn_packets_total{{direction="{way}"}}']
               - before[f'turn_packets_total{{direction="{way}"}}']
               for way in ("to_peer", "to_client")}
    require(relayed == {"to_peer": 2, "to_client": 2}, f"more than two datagrams: {relayed}")
    return {"sent": 2, **relayed}


# --- what is said in another's name ---

@scenario()
def attack_behind_integrity(lab):
    """Somebody on the path appends to an honest request: what MESSAGE-INTEGRITY does not cover does
    not count."""
    client = allocated(lab)
    client.permit(ECHO)
    zero = (A.LIFETIME, stun.u32(0))
    response = client.request(M.REFRESH, after=[zero])
    require(response.ok and response.number(A.LIFETIME) > 0, f"LIFETIME behind it: {response}")
    require(allocations(lab) == 1, "an appended LIFETIME ended the allocation")
    other = udp_socket(lab, "attacker", "203.0.113.66", 5000)
    txid = os.urandom(12)
    peers = [client.peer_attribute(ECHO, txid), client.peer_attribute(("203.0.113.66", 5000), txid)]
    response = client.request(M.CREATE_PERMISSION, peers[:1], after=peers[1:], txid=txid)
    require(response.ok, f"{response}")
    client.send(("203.0.113.66", 5000), b"without a permission")
    require(not heard(other), "an appended peer got a permission")
    response = client.request(M.CHANNEL_BIND, [(A.CHANNEL_NUMBER, stun.channel(0x4000))],
                              after=peers[1:], txid=txid)
    require(response.code == 400, f"ChannelBind with its peer behind the integrity: {response}")
    require(echoes(client), "the allocation does not work any more")


@scenario()
def attack_in_the_clients_name(lab):
    """Garbage, forged ends and hellos from the client's own address and port: counted, and nothing
    of it ends the allocation, or changes it."""
    client = allocated(lab, port=4102, address=ALICE4)
    client.bind(0x4000, ECHO)
    impostor = Impostor(lab, (ALICE4, 4102))
    server = (SERVER4, PLAIN)
    end = (A.LIFETIME, stun.u32(0))
    for _ in range(100):
        impostor.send(request(M.REFRESH, end), server)
        impostor.send(client.form(M.REFRESH, [end], key=b"guess"), server)
        impostor.send(client.form(M.REFRESH, [end], user="1999999999:mallory"), server)
        impostor.send(request(M.ALLOCATE, UDP), server)
        impostor.send(os.urandom(random.randrange(1, 200)), server)
        impostor.send(bytes([128]) + os.urandom(99), server)
        impostor.send(dtls_hello(), server)
        impostor.send(dtls_hello(suites="00010002"), server)  # TLS_RSA_WITH_NULL: no common cipher
        time.sleep(0.002)
    client.link.drain(0.5)
    require(allocations(lab) == 1 and echoes(client, number=0x4000), "the allocation has suffered")
    require(client.refresh().ok, "it cannot be refreshed")
    failures = {name: value for name, value in lab.daemon.metrics().items()
                if name.startswith("turn_auth_failures_total") and value}
    require(failures.get('turn_auth_failures_total{reason="wrong_password"}', 0) >= 90,
            f"not counted: {failures}")
    return {"sent": 800}


@scenario()
def attack_dtls_in_the_clients_name(lab):
    """A hello, one that shares no cipher, an alert and noise, sent from the address and port of a
    client with a DTLS session, do not end or reset it; nor those sent before and during its
    handshake."""
    impostor = Impostor(lab, (ALICE4, 4103))

    def attack(times):
        for _ in range(times):
            impostor.send(dtls_hello(), (SERVER4, TLS))
            impostor.send(dtls_hello(suites="00010002"), (SERVER4, TLS))
            impostor.send(dtls_hello(cookie=os.urandom(20)), (SERVER4, TLS))
            impostor.send(b"\x15\xfe\xfd" + bytes(8) + b"\0\2\2\x28", (SERVER4, TLS))  # an alert
            impostor.send(b"\x17\xfe\xfd\0\1" + os.urandom(60), (SERVER4, TLS))
            time.sleep(0.01)

    attack(20)
    client = DtlsClient(lab, 4103)
    attack(20)
    for _ in range(5):
        answer = client.ask(request(M.BINDING))
        require(answer[:2] == b"\1\1", f"no answer over DTLS: {answer}")
        attack(5)
    sessions = lab.daemon.metrics()['connections{transport="dtls"}']
    require(sessions == 1, f"{sessions} sessions")
    return {"sent": 325}


# --- limits ---

@scenario(limits='allocations = 6; allocations_per_user = 3; bandwidth_per_call = "64 kbit/s";')
def attack_limits(lab):
    """Each limit refuses what is beyond it, also under another time stamp, until something ends."""
    clients = [allocated(lab, user="ann", port=4110 + i) for i in range(3)]
    login(lab, "ann", port=4120).expect(M.ALLOCATE, 486, [UDP])
    time.sleep(1.1)  # another expiry, so another username of the same user
    login(lab, "ann", port=4121).expect(M.ALLOCATE, 486, [UDP])
    clients += [allocated(lab, user="ben", port=4130 + i) for i in range(3)]
    login(lab, "cat", port=4140).expect(M.ALLOCATE, (486, 508), [UDP])
    first = clients.pop(0)
    require(first.refresh(0).ok, "not released")
    allocated(lab, user="ann", port=4122)
    fast, peer = clients[0], udp_socket(lab, "peer", FRIEND4, 4800)
    fast.permit((FRIEND4, 4800))
    for _ in range(200):  # 30,000 bytes at once, where 8,000 in a second are allowed
        fast.send((FRIEND4, 4800), bytes(150))
    got = sum(len(data) for data, _ in heard(peer))
    require(4000 < got < 9000, f"{got} bytes arrived")
    return {"bytes_sent": 200 * 150, "bytes_relayed": got}


@scenario(limits="allocations_per_user = 2;", turn="mobility = true;")
def attack_quota_by_mobility(lab):
    """Allocations that move from address to address stay charged, once, and a resumption is none
    more."""
    ticket = (A.MOBILITY_TICKET, b"")
    first = login(lab, "ann", port=4150)
    response = first.succeed(M.ALLOCATE, [UDP, ticket])
    current = response.get(A.MOBILITY_TICKET)
    allocated(lab, user="ann", port=4151)
    for i in range(20):
        mover = login(lab, "ann", port=4160 + i)
        # Not another second's: an allocation stays with its username (RFC 8656 section 5).
        mover.user, mover.password = first.user, first.password
        mover.challenge()
        response = mover.request(M.REFRESH, [(A.MOBILITY_TICKET, current)])
        require(response.ok, f"move {i}: {response}")
        current = response.get(A.MOBILITY_TICKET) or current
        login(lab, "ann", port=4200 + i).expect(M.ALLOCATE, 486, [UDP])
    require(allocations(lab) == 2, f"{allocations(lab)} allocations after 20 moves")
    stranger = login(lab, "mallory", port=4230)
    stranger.challenge()
    response = stranger.request(M.REFRESH, [(A.MOBILITY_TICKET, current)])
    require(not response.ok, "another user resumed it")
    return {"moves": 20}


@scenario(limits=NO_QUOTA)
def attack_ports_by_reservation(lab):
    """EVEN-PORT with and without a reservation, tokens never used: each port is given back."""
    before = ports(lab)
    clients = []
    for i in range(20):
        clients.append(allocated(lab, (A.EVEN_PORT, b"\0"), port=4300 + i))
    require(ports(lab)["used"] == 20, f"EVEN-PORT without reservation: {ports(lab)}")
    reserved = [allocated(lab, (A.EVEN_PORT, b"\x80"), port=4330 + i) for i in range(20)]
    require(ports(lab)["used"] == 60, f"EVEN-PORT with reservation: {ports(lab)}")
    for client in clients + reserved:
        require(client.refresh(0).ok, "it is not released")
    wait_for("all ports are given back", lambda: ports(lab)["used"] == 0, 40)
    require(sum(ports(lab).values()) == sum(before.values()), f"{before}, {ports(lab)}")
    return {"reserved": 20}


@scenario(limits="allocations_per_user = 5;")
def attack_refused_is_not_charged(lab):
    """Refused Allocates cost nothing, a 5-tuple that was given back serves again at once, and peers
    that cannot be reached cost their datagram."""
    for i in range(20):
        client = login(lab, "ann", port=4400)
        for attributes in ([(A.REQUESTED_TRANSPORT, stun.u8(99))],
                           [UDP, (A.REQUESTED_ADDRESS_FAMILY, stun.u8(9))],
                           [UDP, (A.RESERVATION_TOKEN, os.urandom(8))], []):
            require(not client.request(M.ALLOCATE, attributes).ok, f"taken: {attributes}")
        client.allocate()
        require(client.refresh(0).ok, "not released")
        client.link.close()
    clients = [allocated(lab, user="ann", port=4410 + i) for i in range(5)]
    client = clients[0]
    client.permit(ECHO, ("203.0.113.250", 9), ("203.0.113.20", 0))
    for peer in (("203.0.113.250", 9), ("203.0.113.20", 0), (ALICE4, 1)):
        client.send(peer, b"nobody is there")
    client.send(ECHO, bytes(60000))
    time.sleep(1)
    client.link.drain(0.2)
    require(echoes(client), "a failed send has killed the allocation")
    return {"refused": 80}


@scenario(limits="connections = 40; connections_per_address = 30;")
def attack_slow_clients(lab):
    """A byte a second, a head without its message, a TLS record that never ends: each connection
    ends in time, and clients are served meanwhile."""
    def open_all():
        return [socket.create_connection((SERVER4, port)) for port in [PLAIN] * 3 + [TLS] * 2]
    kinds = lab.network.inside("attacker", open_all)
    message = request(M.ALLOCATE, UDP, fingerprint="right")
    texts = [message * 40, message[:4] + b"\xff\xfc" * 4000, b"\x40\0\xff\xff" + bytes(9000),
             tls_hello(), b"\x16\3\1\x40\0" + bytes(9000)]
    start, ended = time.monotonic(), {}
    for i in range(200):
        for number, sock in enumerate(kinds):
            if number in ended:
                continue
            try:
                sock.send(texts[number][i:i + 1])
                if select.select([sock], [], [], 0)[0] and sock.recv(65536) == b"":
                    ended[number] = round(time.monotonic() - start, 1)
            except OSError:
                ended[number] = round(time.monotonic() - start, 1)
        if len(ended) == len(kinds):
            break
        if i == 3:
            client = allocated(lab, transport="tls")
            client.permit(ECHO)
            require(echoes(client), "a client is not served meanwhile")
        time.sleep(0.2)
    require(len(ended) == len(kinds) and max(ended.values()) < 13, f"ended after: {ended}")
    return {"ended_after_s": sorted(ended.values())}


# --- messages ---

def mutations(samples, generator):
    """Endless datagrams, each a sample with bytes flipped, cut out or repeated."""
    while True:
        data = bytearray(generator.choice(samples))
        for _ in range(generator.randrange(1, 6)):
            at = generator.randrange(len(data))
            how = generator.randrange(5)
            if how == 0:
                data[at] = generator.randrange(256)
            elif how == 1:
                data[at] ^= 1 << generator.randrange(8)
            elif how == 2:
                del data[at:at + generator.randrange(1, 9)]
            elif how == 3:
                data[at:at] = data[at:at + generator.randrange(1, 40)]
            else:
                data[at:at + 2] = generator.choice((b"\0\0", b"\xff\xff", b"\xff\xfc", b"\x7f\xff"))
            data = data or bytearray(1)
        yield bytes(data)


@scenario(limits=NO_QUOTA + " connections_per_address = 1000;")
def attack_malformed(lab):
    """20,000 broken datagrams, half of them of a client with an allocation, and 600 broken streams:
    no crash, and nothing left behind. The seed is printed."""
    seed = random.randrange(1 << 30)
    generator = random.Random(seed)
    client = allocated(lab, port=4500)
    client.bind(0x4000, ECHO)
    txid = os.urandom(12)
    peer = client.peer_attribute(ECHO, txid)
    samples = [
        request(M.BINDING, fingerprint="right"), request(M.ALLOCATE, UDP),
        client.form(M.ALLOCATE, [UDP, (A.EVEN_PORT, b"\x80")]),
        client.form(M.REFRESH, [(A.MOBILITY_TICKET, os.urandom(48))]),
        client.form(M.CREATE_PERMISSION, [peer] * 3, txid=txid),
        client.form(M.CHANNEL_BIND, [(A.CHANNEL_NUMBER, stun.channel(0x4001)), peer], txid=txid),
        client.form(M.REFRESH, algorithm=stun.SHA256, algorithms=client.algorithms or b"",
                    integrity=("sha1", "sha256"), fingerprint="right"),
        stun.build(M.SEND, stun.INDICATION, [peer, (A.DATA, bytes(100))], txid),
        stun.channel_data(0x4000, bytes(100)), dtls_hello()]
    broken = mutations(samples, generator)
    strangers = udp_socket(lab, "attacker")
    for i, data in enumerate(itertools.islice(broken, 20000)):
        if i % 2:
            client.link.sock.sendto(data, client.link.server)
        else:
            strangers.sendto(data, (SERVER4, generator.choice((PLAIN, TLS))))
        if i % 50 == 49:
            time.sleep(0.003)
    for i in range(200):
        for make, port in ((link.TcpLink, PLAIN), (link.TlsLink, TLS), (None, TLS)):
            lab.network.inside("attacker", lambda: stream(make, port, broken, generator))
    require(lab.alive(), f"it did not survive; seed {seed}")
    fresh = allocated(lab, user="dan", port=4501)
    fresh.permit(ECHO)
    require(echoes(fresh), f"it does not serve any more; seed {seed}")
    wait_for("no connections are left", lambda: not connections(lab), 15)
    return {"seed": seed}


def stream(make, port, broken, generator):
    """One connection with a few broken messages; with None for 'make', broken TLS."""
    try:
        if make:
            connection = make((SERVER4, port), None, [])
            for data in itertools.islice(broken, 5):
                connection.send(data)
            connection.close()
            return
        with socket.create_connection((SERVER4, port), 2) as sock:
            sock.sendall(next(mutations([tls_hello()], generator)))
    except (OSError, link.Closed, ssl.SSLError):
        pass


@scenario(limits=NO_QUOTA)
def attack_paddings(lab):
    """Whatever length data has, its padding is zero: nothing old leaks, over UDP, TCP and TLS."""
    wrong, seen = [], 0
    for number, transport in enumerate(("udp", "tcp", "tls")):
        client = allocated(lab, transport=transport, **({"port": 4600} if not number else {}))
        peer = udp_socket(lab, "peer", FRIEND4)
        client.bind(0x4000, (FRIEND4, peer.getsockname()[1]))
        talker = udp_socket(lab, "peer", FRIEND4)
        client.permit((FRIEND4, talker.getsockname()[1]))
        for length in list(range(1, 9)) * 10:
            for sock in (peer, talker):  # as ChannelData, as an indication
                sock.sendto(os.urandom(200), client.relayed[0])
                sock.sendto(b"\xaa" * length, client.relayed[0])
        for item in client.link.drain(1):
            seen += 1
            rest = item.padding if isinstance(item, stun.ChannelData) else b"".join(
                padding for _, _, padding, _ in item.attributes)
            if any(rest):
                wrong.append(item.raw)
    require(seen > 800 and not wrong, f"{len(wrong)} of {seen} have paddings that are not zero")
    return {"messages": seen}


@scenario(limits="allocations_per_user = 0; stun_answers = 0;")
def attack_guessing(lab):
    """Ports, nonces, tickets and reservation tokens do not follow from those before them."""
    numbers, nonces, tokens, tickets = [], set(), set(), set()
    for i in range(60):
        client = login(lab, port=4700 + i)
        response = client.succeed(M.ALLOCATE, [UDP, (A.EVEN_PORT, b"\x80"),
                                               (A.MOBILITY_TICKET, b"")])
        numbers.append(response.addresses(A.XOR_RELAYED_ADDRESS)[0][1])
        nonces.add(client.nonce)
        tokens.add(response.get(A.RESERVATION_TOKEN))
        tickets.add(response.get(A.MOBILITY_TICKET))
    for name, values in (("nonces", nonces), ("tokens", tokens), ("tickets", tickets)):
        require(len(values) == 60, f"{name} repeat")
        unlike = [sum((a ^ b).bit_count() for a, b in zip(one, two))
                  for one, two in itertools.combinations(sorted(values), 2)]
        require(min(unlike) >= 8, f"{name} are alike")
    steps = [abs(b - a) for a, b in itertools.pairwise(numbers)]
    require(sum(step <= 4 for step in steps) < 15, f"ports follow each other: {numbers}")
    old = login(lab, port=4790)
    old.challenge()
    other = login(lab, port=4791)
    other.realm, other.nonce = old.realm, old.nonce
    data = other.form(M.ALLOCATE, [UDP])
    response = other.transact(data)
    require(response.code == 438, f"another address may use a nonce: {response}")
    return {"allocations": 60}


@scenario()
def attack_names(lab):
    """Names with formats, line ends and quotes reach log, JSON and metrics as what they are."""
    names = ("%s%s%n%x", "a\nPRIORITY=0\nMESSAGE=forged", "\"},{\"x\":\"", "<script>", "\x1b[31m",
             "a" * 400, "'; DROP TABLE turnusers;--", "\\u0000", "ä€😀", "..", "a\x7f")
    for i, name in enumerate(names):
        client = login(lab, name, port=4800 + i)
        response = client.request(M.ALLOCATE, [UDP, (A.SOFTWARE, name.encode()[:128] * 2)])
        require(response.ok or response.code in (400, 401), f"{name!r}: {response}")
        if response.ok:
            client.keep(response)
            lab.daemon.json("/api/allocations")
            client.refresh(0)
    text = lab.daemon.get("/metrics")[1]
    require("turnusers" not in text and "<script" not in text, "a name is in the metrics")
    with open(f"{lab.directory}/jingle-relayd.log", encoding="utf-8") as file:
        forged = [line for line in file if line.startswith(("PRIORITY", "MESSAGE"))]
    require(not forged, f"forged lines of log: {forged}")
    return {"names": len(names)}


@scenario()
def attack_weak_secrets(lab):
    """A secret that can be guessed is refused at the start, and a password by another one does not
    work."""
    with open(lab.daemon.config, encoding="utf-8") as file:
        text = file.read()
    results = {}
    for secret in ("north", "123456789012345"):
        path = lab.write("weak", secret + "\n")
        config = lab.write("weak.conf", text.replace(f"{lab.directory}/secret-1", path))
        check = subprocess.run([lab.daemon.program, "--check-config", "--config", config],
                               capture_output=True, text=True)
        results[secret] = check.returncode
        require(check.returncode != 0 and "16 bytes or more" in check.stderr,
                f"{secret}: {check.returncode}, {check.stderr}")
        require(secret not in check.stderr + check.stdout, "the secret is printed")
    for guess in ("north", "secret", "lab-turn-secret"):
        client = login(lab, port=0, secret=guess)
        client.expect(M.ALLOCATE, 401, [UDP])
    expired = login(lab)
    expired.user = expired.user.replace(expired.user.split(":")[0], str(int(time.time()) - 60))
    expired.expect(M.ALLOCATE, 401, [UDP])
    return results
