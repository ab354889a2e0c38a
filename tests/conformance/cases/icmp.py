# SPDX-License-Identifier: ISC
"""ICMP errors (RFC 8656 section 11.5), which came with RFC 8656."""

import os

import stun
import suite
from client import require, show
from peer import send_icmp
from stun import A, M

from .data import DONT_FRAGMENT, ready

case = suite.group("icmp", "ICMP errors")


def closed_port(peer):
    address = peer.address
    peer.close()
    return address


def icmp(client, seconds):
    """The next Data indication with ICMP; None when none comes."""
    return client.link.wait(lambda item: isinstance(item, stun.Message) and item.has(A.ICMP),
                            seconds)


def expected(bench, client, address, kind, code, info=0):
    item = icmp(client, bench.timing.answer)
    require(item is not None, f"no Data indication with ICMP type {kind} code {code}")
    require(item.method == M.DATA and item.klass == stun.INDICATION, show(item))
    value, peer = item.get(A.ICMP), item.address(A.XOR_PEER_ADDRESS)
    require(peer is not None, f"{show(item)}: no XOR-PEER-ADDRESS")
    require(peer[0] == address[0] and peer[1] in (address[1], 0), f"about {peer}, not {address}")
    require(len(value) == 8 and value[2:4] == bytes([kind, code]), f"ICMP {value.hex()}")
    require(value[:2] == b"\0\0", f"the reserved bytes of ICMP {value.hex()} are not zero")
    require(value[4:] == stun.u32(info), f"Error Data {value[4:].hex()}, not {info}")
    return item


@case("8656-11.5-1", "MUST", "Of an ICMP error (port unreachable) the client learns by a Data "
      "indication with XOR-PEER-ADDRESS and ICMP, type 3 and code 3.", new=True)
def port_unreachable(bench):
    client, peer = ready(bench)
    address = closed_port(peer)
    client.send(address, b"nobody home")
    expected(bench, client, address, 3, 3)


@case("8656-11.5-2", "RULE", "A client on TCP learns of port unreachable by a Data indication with "
      "ICMP.", new=True)
def port_unreachable_tcp(bench):
    client, peer = ready(bench, kind="tcp")
    address = closed_port(peer)
    client.send(address, b"nobody home")
    expected(bench, client, address, 3, 3)


@case("8656-12.5-1", "RULE", "A client with a channel to the peer learns of port unreachable by a "
      "Data indication with ICMP, too.", new=True)
def port_unreachable_channel(bench):
    client, peer = ready(bench)
    address = peer.address
    client.bind(0x4000, address)
    peer.close()
    client.channel(0x4000, b"nobody home")
    expected(bench, client, address, 3, 3)


@case("8656-11.5-3", "RULE", "ICMPv6 errors (port unreachable) are reported with type 1 and code "
      "4.", new=True)
def port_unreachable6(bench):
    client, peer = bench.allocation6(), bench.peer(0, 6)
    client.permit(peer.address)
    address = closed_port(peer)
    client.send(address, b"nobody home")
    expected(bench, client, address, 1, 4)


def crafted(bench, code_type, code, info=0, prepare=()):
    """A client, its peer, and an ICMP error from a third address about its datagram to the peer."""
    bench.need_root()
    client, peer, router = bench.allocation(), bench.peer(0), bench.peer(1)
    client.permit(peer.address)
    client.send(peer.address, b"about this", *prepare)
    peer.receive(bench.timing.quiet)
    send_icmp(router.host, (client.relayed[0], peer.address), code_type, code, info)
    return client, peer, router


@case("8656-11.5-4", "MUST", "The source of the ICMP packet is not checked against the "
      "permissions: a router's host unreachable (type 3, code 1) is reported.", new=True)
def from_a_router(bench):
    client, peer, _ = crafted(bench, 3, 1)
    expected(bench, client, peer.address, 3, 1)


@case("8656-11.5-5", "RULE", "Time exceeded (ICMP type 11) is reported.", new=True)
def time_exceeded(bench):
    client, peer, _ = crafted(bench, 11, 0)
    expected(bench, client, peer.address, 11, 0)


@case("8656-11.5-6", "RULE", "Other types of ICMP (12, parameter problem) are silently dropped.")
def other_types(bench):
    client, peer, _ = crafted(bench, 12, 0)
    item = icmp(client, 2 * bench.timing.quiet)
    require(item is None, f"{show(item)} {item and item.get(A.ICMP).hex()}")
    bench.exchange(client, peer)


@case("8656-11.5-7", "RULE", "An error about a datagram to an address without a permission is "
      "silently dropped.")
def unpermitted_destination(bench):
    bench.need_root()
    client, peer, other = bench.allocation(), bench.peer(0), bench.peer(1)
    client.permit(peer.address)
    bench.exchange(client, peer)
    send_icmp(peer.host, (client.relayed[0], other.address), 3, 3)
    item = icmp(client, 2 * bench.timing.quiet)
    require(item is None, f"{show(item)} about {item and item.address(A.XOR_PEER_ADDRESS)}")


@case("8656-18.13-1", "RULE", "Fragmentation needed (type 3, code 4) about a datagram with "
      "DONT-FRAGMENT is reported with the MTU in Error Data.", new=True)
def fragmentation_needed(bench):
    response = bench.client().request(
        M.ALLOCATE, [(A.REQUESTED_TRANSPORT, stun.u8(stun.UDP)), DONT_FRAGMENT])
    bench.applicable(response.code != 420, "the server does not support DONT-FRAGMENT")
    client, peer, _ = crafted(bench, 3, 4, 1300, prepare=[DONT_FRAGMENT])
    expected(bench, client, peer.address, 3, 4, 1300)


@case("8656-18.13-2", "MUST", "The reserved bytes of ICMP are zero, and so is Error Data of type "
      "3, code 3.", new=True)
def zeroes(bench):
    client, peer = ready(bench)
    address = closed_port(peer)
    for _ in range(2):
        client.send(address, os.urandom(8))
    item = icmp(client, bench.timing.answer)
    bench.applicable(item is not None, "no Data indication with ICMP came")
    require(item.get(A.ICMP) == b"\0\0\3\3\0\0\0\0", f"ICMP {item.get(A.ICMP).hex()}")


@case("8656-11.5-8", "CARE", "A forged error does not end the relaying to its peer: the next "
      "datagram is sent.")
def forged_error(bench):
    client, peer, _ = crafted(bench, 3, 3)
    bench.exchange(client, peer)
    require(client.refresh().ok, "the allocation is gone")
