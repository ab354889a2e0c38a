# SPDX-License-Identifier: ISC
"""Send and Data indications (RFC 8656 section 11), and the IP headers of what is relayed (sections
14 and 15)."""

import os
import socket

import stun
import suite
from client import require, show
from stun import A, M

case = suite.group("data", "Send and Data indications")

DONT_FRAGMENT = (A.DONT_FRAGMENT, b"")
LARGE = 1800  # more than an Ethernet frame holds


def ready(bench, **options):
    """(client with an allocation and a permission, its peer)."""
    client, peer = bench.allocation(**options), bench.peer()
    client.permit(peer.address)
    return client, peer


def dropped(bench, client, peer, attributes, what):
    """An indication that must not be relayed, then one that is."""
    txid = b"not-relayed0"
    client.indicate(M.SEND, [client.peer_attribute(peer.address, txid) if item is None else item
                             for item in attributes], txid=txid)
    client.send(peer.address, b"fence")
    before = peer.until(b"fence", bench.timing.answer)
    require(before is not None, f"after {what} nothing is relayed any more")
    require(not before, f"{what} was relayed: {before}")
    bench.unheard(client.link, what)


@case("8656-11.2-1", "RULE", "A Send indication becomes a datagram from the relayed address to the "
      "peer, with the contents of DATA.")
def send(bench):
    client, peer = ready(bench)
    client.send(peer.address, b"hello peer")
    source = bench.arrives(peer, b"hello peer")
    require(source == client.relayed[0],
            f"from {source}, the relayed address is {client.relayed[0]}")


@case("8656-11.2-2", "RULE", "The length of DATA is kept exactly; its padding is not sent.")
def exact_lengths(bench):
    client, peer = ready(bench)
    for size in (1, 2, 3, 4, 5, 7, 160, 1201):
        data = os.urandom(size)
        client.send(peer.address, data)
        bench.arrives(peer, data, f"{size} bytes")


@case("8656-11.2-3", "RULE", "DATA may have zero bytes: an empty datagram is sent.")
def empty(bench):
    client, peer = ready(bench)
    client.send(peer.address, b"")
    bench.arrives(peer, b"", "an empty DATA")


@case("8656-11.2-4", "RULE", "A Send indication without DATA is discarded.")
def no_data(bench):
    client, peer = ready(bench)
    dropped(bench, client, peer, [None], "a Send indication without DATA")


@case("8656-11.2-5", "RULE", "A Send indication without XOR-PEER-ADDRESS is discarded.")
def no_address(bench):
    client, peer = ready(bench)
    dropped(bench, client, peer, [(A.DATA, b"whereto")], "a Send indication without an address")


@case("8656-11.2-6", "RULE", "A Send indication to an address without a permission is discarded.")
def no_permission(bench):
    client, peer = bench.allocation(), bench.peer()
    client.send(peer.address, b"not allowed")
    bench.unheard(client.link, "a Send indication without a permission")
    bench.nothing_at(peer, "a Send indication without a permission")


@case("8656-11.2-7", "RULE", "A permission for one address does not let data out to another.")
def permission_of_another(bench):
    client, peer = ready(bench)
    other = bench.peer(1)
    client.send(other.address, b"not allowed")
    client.send(peer.address, b"fence")
    bench.arrives(peer, b"fence")
    bench.nothing_at(other, "a Send indication to another address")


@case("8656-11.2-8", "RULE", "A Send indication with an unknown comprehension-required attribute "
      "is discarded (RFC 8489 section 6.3.2).")
def unknown_attribute(bench):
    client, peer = ready(bench)
    dropped(bench, client, peer, [None, (A.DATA, b"strange"), (0x7F31, b"")],
            "a Send indication with an unknown attribute")


@case("8656-11.2-9", "RULE", "A Send indication with DONT-FRAGMENT is sent with DF set, or "
      "discarded where the server cannot do that (section 14).")
def dont_fragment(bench):
    client, peer = ready(bench)
    sniffer = bench.sniffer(peer)
    data = os.urandom(16)
    client.send(peer.address, data, DONT_FRAGMENT)
    seen = sniffer.header(peer.address[1], data, bench.timing.answer / 2)
    if seen is None:
        response = bench.client().request(
            M.ALLOCATE, [(A.REQUESTED_TRANSPORT, stun.u8(stun.UDP)), DONT_FRAGMENT])
        require(response.code == 420, "discarded, although Allocate accepts DONT-FRAGMENT")
        return "discarded; Allocate refuses DONT-FRAGMENT"
    require(seen[0], "sent without DF")
    return "DF is set"


@case("8656-11.2-10", "RULE", "DONT-FRAGMENT is good for one datagram: the next without it goes "
      "out whole or in fragments, whatever its size (section 14).")
def dont_fragment_is_over(bench):
    client, peer = ready(bench)
    client.send(peer.address, b"small", DONT_FRAGMENT)
    peer.receive(bench.timing.quiet)
    data = os.urandom(LARGE)
    client.send(peer.address, data)
    bench.arrives(peer, data, f"{LARGE} bytes without DONT-FRAGMENT")


@case("8656-14-1", "SHOULD", "Without DONT-FRAGMENT, DF is that of the client's datagram, or not "
      "set.")
def df_is_copied(bench):
    client, peer = ready(bench)
    sniffer = bench.sniffer(peer)
    data = os.urandom(16)
    # IP_PMTUDISC_DONT: this client's datagrams go out without DF.
    client.link.sock.setsockopt(socket.IPPROTO_IP, 10, 0)
    client.send(peer.address, data)
    seen = sniffer.header(peer.address[1], data, bench.timing.answer)
    require(seen is not None, "nothing was relayed")
    require(not seen[0], "DF is set, though the client's datagram had none")


@case("8656-14-2", "SHOULD", "ECN is passed on, or becomes Not-ECT; DSCP is passed on, or is a "
      "fixed value.")
def ecn_and_dscp(bench):
    client, peer = ready(bench)
    seen = []
    for tos in (0x00, 0xB8, 0xB8 | 2, 0x48 | 1):  # EF, EF with ECT(0), AF21 with ECT(1)
        client.link.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
        client.send(peer.address, bytes([tos]))
        bench.arrives(peer, bytes([tos]))
        seen.append((tos, peer.tos))
    require(all(out & 3 in (0, into & 3) for into, out in seen), f"TOS in and out: {seen}")
    codes = {out >> 2 for _, out in seen}
    require(len(codes) == 1 or all(into >> 2 == out >> 2 for into, out in seen),
            f"TOS in and out: {seen}")
    return f"TOS in and out: {seen}"


@case("8656-15-1", "SHOULD", "Over TCP, DF is set for a Send indication with DONT-FRAGMENT, and "
      "not set otherwise.")
def df_over_tcp(bench):
    client, peer = ready(bench, kind="tcp")
    sniffer = bench.sniffer(peer)
    seen = {}
    for wanted in (True, False):
        data = os.urandom(16)
        client.send(peer.address, data, *([DONT_FRAGMENT] if wanted else []))
        header = sniffer.header(peer.address[1], data, bench.timing.answer / 2)
        seen[wanted] = header and header[0]
    require(seen[False] is False, f"without DONT-FRAGMENT: {seen[False]}")
    require(seen[True] in (True, None), "with DONT-FRAGMENT: DF is not set")


def large_ways(bench, size):
    client, peer = ready(bench)
    data = os.urandom(size)
    client.send(peer.address, data)
    bench.arrives(peer, data, f"{size} bytes to the peer")
    peer.send(data, client.relayed[0])
    bench.comes_back(client, data, f"{size} bytes from the peer")


@case("8656-14-3", "RULE", "What is longer than an Ethernet frame (1,800 bytes) passes both ways: "
      "the normal fragmentation rules apply.")
def large(bench):
    large_ways(bench, LARGE)


@case("8656-14-4", "RULE", "Datagrams of 4,000 bytes pass both ways: the normal fragmentation rules "
      "apply to them, too.")
def very_large(bench):
    large_ways(bench, 4000)


@case("8656-11.3-1", "MUST", "What a peer sends becomes a Data indication with XOR-PEER-ADDRESS, "
      "its address, and DATA, its bytes.")
def data_indication(bench):
    client, peer = ready(bench)
    for size in (1, 2, 3, 4, 1201):
        data = os.urandom(size)
        peer.send(data, client.relayed[0])
        item = bench.comes_back(client, data, f"{size} bytes from the peer")
        require(item.klass == stun.INDICATION and item.address(A.XOR_PEER_ADDRESS) == peer.address,
                f"{show(item)} from {item.address(A.XOR_PEER_ADDRESS)}")


@case("8656-11.3-2", "RULE", "An empty datagram becomes a Data indication with an empty DATA.")
def empty_from_peer(bench):
    client, peer = ready(bench)
    peer.send(b"", client.relayed[0])
    bench.comes_back(client, b"", "an empty datagram")


@case("8656-11.3-3", "RULE", "The Data indication goes to the 5-tuple of the allocation, whoever "
      "else the server talks to.")
def to_its_client(bench):
    client, peer = ready(bench)
    other, _ = ready(bench)
    peer.send(b"for one", client.relayed[0])
    bench.comes_back(client, b"for one")
    bench.nothing_back(other, "another client's data")


@case("8656-11.3-4", "MUST", "Padding of DATA is zero (RFC 8489 section 14).")
def padding(bench):
    client, peer = ready(bench)
    peer.send(b"\xff" * 600, client.relayed[0])  # what a careless server would leak
    bench.comes_back(client, b"\xff" * 600)
    for size in (1, 2, 3):
        peer.send(b"x" * size, client.relayed[0])
        item = bench.comes_back(client, b"x" * size)
        require(item.paddings(), f"padding {[p.hex() for _, _, p, _ in item.attributes if p]}")


@case("8656-11.3-5", "MUST", "Data indications have transaction ids of their own (RFC 8489 section "
      "5).")
def transaction_ids(bench):
    client, peer = ready(bench)
    ids = []
    for number in range(4):
        peer.send(b"%d" % number, client.relayed[0])
        ids.append(bench.comes_back(client, b"%d" % number).txid)
    require(len(set(ids)) == 4, f"{[txid.hex() for txid in ids]}")


def survives(bench, client, what):
    require(client.refresh().ok, f"{what}: the allocation is gone")
    other = bench.peer()
    client.permit(other.address)
    client.send(other.address, b"still alive")
    bench.arrives(other, b"still alive", f"after {what}")
    other.send(b"and back", client.relayed[0])
    bench.comes_back(client, b"and back", f"after {what}, the way back")


@case("8656-6-3", "RULE", "An allocation lives until it expires (section 6): a peer that refuses "
      "its datagrams does not end it.")
def survives_refusal(bench):
    client, peer = ready(bench)
    address = peer.address
    peer.close()
    for _ in range(3):
        client.send(address, b"nobody home")
    client.link.drain(bench.timing.quiet)
    survives(bench, client, "three datagrams to a closed port")


@case("8656-6-4", "RULE", "An allocation lives until it expires: a datagram to port 0 does not end "
      "it.")
def survives_port_0(bench):
    client, peer = ready(bench)
    client.send((peer.host, 0), b"to port 0")
    survives(bench, client, "a datagram to port 0")


@case("8656-6-5", "RULE", "An allocation lives until it expires: a datagram to an address without "
      "a route does not end it.")
def survives_no_route(bench):
    client = bench.allocation()
    bench.applicable(bench.target.unroutable, "no address without a route was given")
    nowhere = (bench.target.unroutable, 4000)
    response = client.with_peers(M.CREATE_PERMISSION, [nowhere])
    bench.applicable(response.ok, f"{show(response)} for {nowhere[0]}")
    for _ in range(3):
        client.send(nowhere, b"into the void")
    survives(bench, client, "datagrams into the void")


@case("8656-6-6", "RULE", "An allocation lives until it expires: a datagram that is too long to be "
      "sent does not end it.")
def survives_too_long(bench):
    client, peer = ready(bench, kind="tcp")
    client.send(peer.address, bytes(65508))
    survives(bench, client, "65,508 bytes")
