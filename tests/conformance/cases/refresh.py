# SPDX-License-Identifier: ISC
"""Refreshing and deleting (RFC 8656 section 8)."""

import stun
import suite
from client import require, show
from stun import A, M

from .allocate import DEFAULT_LIFETIME, V4, V6, about, dual, is_v6

case = suite.group("refresh", "Refresh")


def lifetime(bench, asked):
    response = bench.allocation().refresh(asked)
    require(response.ok and response.has(A.LIFETIME), f"{show(response)} to LIFETIME {asked}")
    return response.number(A.LIFETIME)


def two_addresses(bench):
    """A dual allocation as {"4": address, "6": address}."""
    client, _ = dual(bench)
    bench.applicable(len(client.relayed) == 2, "no dual allocation")
    return client, {("6" if is_v6(address) else "4"): address for address in client.relayed}


@case("8656-8.2-1", "MUST", "Refresh with a REQUESTED-ADDRESS-FAMILY that is not the allocation's: "
      "443.")
def other_family(bench):
    bench.allocation().expect(M.REFRESH, 443, [V6])


@case("8656-8.2-2", "RULE", "Refresh with the REQUESTED-ADDRESS-FAMILY of the allocation "
      "succeeds.")
def same_family(bench):
    bench.allocation().succeed(M.REFRESH, [V4])


@case("8656-8.2-3", "RULE", "Refresh without LIFETIME gives 600 seconds more.")
def no_lifetime(bench):
    seen = lifetime(bench, None)
    require(about(seen, DEFAULT_LIFETIME), f"LIFETIME {seen}")


@case("8656-8.2-4", "RULE", "Refresh with a LIFETIME below the default gives the default.")
def short(bench):
    seen = lifetime(bench, 30)
    require(about(seen, DEFAULT_LIFETIME), f"asked for 30, LIFETIME {seen}")


@case("8656-8.2-5", "RULE", "Refresh with a LIFETIME above the default gives that, or the server's "
      "maximum.")
def long(bench):
    seen = lifetime(bench, 900)
    require(about(seen, DEFAULT_LIFETIME, 900), f"asked for 900, LIFETIME {seen}")
    return f"LIFETIME {seen}"


@case("8656-8.2-6", "RULE", "Refresh with LIFETIME 0 succeeds, and says so.")
def delete(bench):
    client = bench.allocation()
    response = client.refresh(0)
    require(response.ok and response.number(A.LIFETIME) == 0,
            f"{show(response)}, LIFETIME {response.number(A.LIFETIME)}")


@case("8656-8.2-7", "RULE", "A deleted allocation is gone: Refresh is refused with 437.")
def deleted(bench):
    client = bench.allocation()
    client.refresh(0)
    client.relayed = []
    client.expect(M.REFRESH, 437)


@case("8656-8.2-8", "RULE", "A deleted allocation relays nothing, either way.")
def deleted_is_mute(bench):
    client, peer = bench.allocation(), bench.peer()
    client.permit(peer.address)
    bench.exchange(client, peer)
    relayed, client.relayed = client.relayed[0], []
    client.refresh(0)
    client.send(peer.address, b"too late")
    bench.nothing_at(peer, "a Send indication after the end")
    peer.send(b"too late", relayed)
    bench.nothing_back(client, "a datagram after the end")


@case("8656-8.2-9", "RULE", "A retransmitted deletion gets 437 or success.")
def delete_again(bench):
    client = bench.allocation()
    data = client.form(M.REFRESH, [(A.LIFETIME, stun.u32(0))])
    first, second = client.transact(data), client.transact(data)
    client.relayed = []
    require(first is not None and first.ok, show(first))
    require(second is not None and (second.ok or second.code == 437), show(second))


@case("8656-8.2-10", "RULE", "A retransmitted Refresh succeeds again.")
def refresh_again(bench):
    client = bench.allocation()
    data = client.form(M.REFRESH)
    for _ in range(2):
        response = client.transact(data)
        require(response is not None and response.ok, show(response))


@case("8656-8.1-1", "MUST", "Deleting one family of a dual allocation leaves the other, its "
      "permissions and its channels.", new=True)
def delete_one_family(bench):
    client, relayed = two_addresses(bench)
    peer4, peer6 = bench.peer(0, 4), bench.peer(0, 6)
    client.permit(peer4.address, peer6.address)
    client.bind(0x4001, peer4.address)
    response = client.refresh(0, V6)
    require(response.ok, f"{show(response)} to the deletion of IPv6")
    client.channel(0x4001, b"still here")
    bench.arrives(peer4, b"still here", "a channel of IPv4 after IPv6 was deleted")
    peer4.send(b"and back", relayed["4"])
    item = client.receive_data()
    require(isinstance(item, stun.ChannelData) and item.data == b"and back", show(item))


@case("8656-8.1-2", "RULE", "A deleted family of a dual allocation is gone: its relayed address is "
      "mute, and deleting it again is refused with 443 or 437.", new=True)
def deleted_family_is_gone(bench):
    client, relayed = two_addresses(bench)
    peer6 = bench.peer(0, 6)
    client.permit(peer6.address)
    require(client.refresh(0, V6).ok, "the deletion of IPv6 failed")
    peer6.send(b"too late", relayed["6"])
    bench.nothing_back(client, "a datagram to the deleted address")
    client.expect(M.REFRESH, (437, 443), [V6])


@case("8656-8.1-3", "RULE", "A Refresh without a family applies to both.", new=True)
def both_at_once(bench):
    client, _ = two_addresses(bench)
    require(client.refresh(0).ok, "the deletion failed")
    client.relayed = []
    client.expect(M.REFRESH, 437)


@case("8656-8.1-4", "RULE", "Each family can be refreshed alone.", new=True)
def each_alone(bench):
    client, _ = two_addresses(bench)
    for family in (V4, V6):
        response = client.refresh(900, family)
        require(response.ok and response.has(A.LIFETIME), show(response))
