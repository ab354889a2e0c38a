# SPDX-License-Identifier: ISC
"""Between IPv4 and IPv6 (RFC 8656 sections 5 and 13)."""

import os

import stun
import suite
from client import require, show
from stun import A

from .allocate import dual, is_v6
from .data import LARGE

case = suite.group("families", "IPv4 and IPv6")


def both_ways(bench, client, family):
    peer = bench.peer(0, family)
    relayed = next(address for address in client.relayed if is_v6(address) == (family == 6))
    client.permit(peer.address)
    client.send(peer.address, b"there")
    source = bench.arrives(peer, b"there")
    require(source == relayed, f"from {source}, not {relayed}")
    peer.send(b"and back", relayed)
    item = bench.comes_back(client, b"and back")
    require(item.address(A.XOR_PEER_ADDRESS) == peer.address, f"{item.address(A.XOR_PEER_ADDRESS)}")
    client.bind(0x4000 + family, peer.address)
    client.channel(0x4000 + family, b"by channel")
    bench.arrives(peer, b"by channel")
    peer.send(b"back by channel", relayed)
    item = client.receive_data()
    require(isinstance(item, stun.ChannelData) and item.data == b"back by channel", show(item))


@case("8656-13.1-1", "RULE", "A client on IPv4 reaches peers on IPv6.")
def v4_to_v6(bench):
    both_ways(bench, bench.allocation6(family=4), 6)


@case("8656-13.2-1", "RULE", "A client on IPv6 reaches peers on IPv6.")
def v6_to_v6(bench):
    both_ways(bench, bench.allocation6(family=6), 6)


@case("8656-13.3-1", "RULE", "A client on IPv6 reaches peers on IPv4.")
def v6_to_v4(bench):
    both_ways(bench, bench.allocation(family=6), 4)


@case("8656-13-1", "RULE", "A dual allocation reaches both.", new=True)
def dual_to_both(bench):
    client, _ = dual(bench)
    bench.applicable(len(client.relayed) == 2, "no dual allocation")
    both_ways(bench, client, 4)
    both_ways(bench, client, 6)


def dont_fragment_ignored(bench, client, family):
    peer = bench.peer(0, family)
    client.permit(peer.address)
    data = os.urandom(LARGE)
    client.send(peer.address, data)
    bench.applicable(peer.receive(bench.timing.answer)[0] == data,
                     f"{LARGE} bytes do not pass without DONT-FRAGMENT either")
    client.send(peer.address, data, (A.DONT_FRAGMENT, b""))
    bench.arrives(peer, data, f"{LARGE} bytes with DONT-FRAGMENT")


@case("8656-13.1-2", "MUST", "IPv4 to IPv6: DONT-FRAGMENT is ignored; 1,800 bytes pass.")
def dont_fragment_4_6(bench):
    dont_fragment_ignored(bench, bench.allocation6(family=4), 6)


@case("8656-13.2-2", "MUST", "IPv6 to IPv6: DONT-FRAGMENT is ignored; 1,800 bytes pass.")
def dont_fragment_6_6(bench):
    dont_fragment_ignored(bench, bench.allocation6(family=6), 6)


@case("8656-13.3-2", "MUST", "IPv6 to IPv4: DONT-FRAGMENT is ignored; 1,800 bytes pass.")
def dont_fragment_6_4(bench):
    dont_fragment_ignored(bench, bench.allocation(family=6), 4)
