# SPDX-License-Identifier: ISC
"""Channels and ChannelData (RFC 8656 section 12)."""

import os

import stun
import suite
from client import require, show
from stun import A, M

case = suite.group("channels", "Channels")


def bound(bench, number=0x4000, **options):
    """(client with an allocation and a channel, its peer)."""
    client, peer = bench.allocation(**options), bench.peer()
    client.bind(number, peer.address)
    return client, peer


def refused(response, code=400):
    require(response.code == code, f"{show(response)} instead of {code}")


def frame(item, number, data):
    require(isinstance(item, stun.ChannelData), f"{show(item)} instead of ChannelData")
    require((item.number, item.data) == (number, data), f"{item} is not what the peer sent")
    return item


def dropped(bench, client, peer, data, what, fence=0x4000):
    client.link.send(data)
    client.channel(fence, b"fence")
    before = peer.until(b"fence", bench.timing.answer)
    require(before is not None, f"after {what} nothing is relayed any more")
    require(not before, f"{what} was relayed: {before}")


@case("8656-12.2-1", "RULE", "ChannelBind without CHANNEL-NUMBER: 400.")
def no_number(bench):
    client, peer = bench.allocation(), bench.peer()
    refused(client.with_peers(M.CHANNEL_BIND, [peer.address]))


@case("8656-12.2-2", "RULE", "ChannelBind without XOR-PEER-ADDRESS: 400.")
def no_address(bench):
    refused(bench.allocation().request(M.CHANNEL_BIND,
                                       [(A.CHANNEL_NUMBER, stun.channel(0x4000))]))


@case("8656-12.2-3", "RULE", "Channel numbers below 0x4000 and from 0x8000 are refused with 400.")
def outside(bench):
    client, peer = bench.allocation(), bench.peer()
    for number in (0x0000, 0x3FFF, 0x8000, 0xFFFF):
        refused(client.ask_channel(number, peer.address))


@case("8656-12.2-4", "RULE", "Channel numbers 0x5000 to 0x7FFF, which RFC 5766 allowed, are "
      "refused with 400.", new=True)
def old_range(bench):
    client, peer = bench.allocation(), bench.peer()
    for number in (0x5000, 0x7FFE):
        refused(client.ask_channel(number, peer.address))


@case("8656-12.2-5", "RULE", "Channel numbers 0x4000 and 0x4FFF are good.")
def both_ends(bench):
    client, one, two = bench.allocation(), bench.peer(), bench.peer()
    for number, peer in ((0x4000, one), (0x4FFF, two)):
        client.bind(number, peer.address)
        client.channel(number, b"channel %x" % number)
        bench.arrives(peer, b"channel %x" % number)


@case("8656-18.1-1", "MUST", "The reserved bytes of CHANNEL-NUMBER are ignored.")
def number_reserved(bench):
    client, peer = bench.allocation(), bench.peer()
    response = client.with_peers(M.CHANNEL_BIND, [peer.address],
                                 [(A.CHANNEL_NUMBER, stun.channel(0x4000, 0xABCD))])
    require(response.ok, show(response))


@case("8656-12.2-6", "RULE", "ChannelBind with a number that is bound to another address: 400.")
def number_taken(bench):
    client, _ = bound(bench)
    refused(client.ask_channel(0x4000, bench.peer().address))


@case("8656-12.2-7", "RULE", "ChannelBind with an address that is bound to another number: 400.")
def address_taken(bench):
    client, peer = bound(bench)
    refused(client.ask_channel(0x4001, peer.address))


@case("8656-12.2-8", "RULE", "A refused ChannelBind changes nothing: the old binding holds.")
def refusal_changes_nothing(bench):
    client, peer = bound(bench)
    client.ask_channel(0x4000, bench.peer().address)
    client.ask_channel(0x4001, peer.address)
    client.channel(0x4000, b"as before")
    bench.arrives(peer, b"as before")
    peer.send(b"and back", client.relayed[0])
    frame(client.receive_data(), 0x4000, b"and back")


@case("8656-12.2-9", "RULE", "ChannelBind with the same pair again succeeds.")
def again(bench):
    client, peer = bound(bench)
    client.bind(0x4000, peer.address)


@case("8656-12.2-10", "RULE", "A retransmitted ChannelBind succeeds again.")
def retransmitted(bench):
    client, peer = bench.allocation(), bench.peer()
    txid = b"twice-please"
    data = client.form(M.CHANNEL_BIND, [(A.CHANNEL_NUMBER, stun.channel(0x4000)),
                                        client.peer_attribute(peer.address, txid)], txid=txid)
    for _ in range(2):
        response = client.transact(data)
        require(response is not None and response.ok, show(response))


@case("8656-12-1", "RULE", "Two ports of one address have channels of their own.")
def two_ports(bench):
    client, one = bound(bench)
    two = bench.peer()
    client.bind(0x4001, two.address)
    for number, peer in ((0x4000, one), (0x4001, two)):
        client.channel(number, b"to %x" % number)
        bench.arrives(peer, b"to %x" % number)


@case("8656-12-2", "RULE", "Channels of one allocation are nothing to another: the same number, "
      "another peer.")
def other_allocation(bench):
    first, one = bound(bench)
    second, two = bound(bench)
    first.channel(0x4000, b"to one")
    second.channel(0x4000, b"to two")
    bench.arrives(one, b"to one")
    bench.arrives(two, b"to two")


@case("8656-12.2-11", "MUST", "ChannelBind with an address of a family that the allocation does "
      "not have: 443.")
def other_family(bench):
    refused(bench.allocation().ask_channel(0x4000, ("2001:db8::77", 7)), 443)


@case("8656-12.2-12", "RULE", "ChannelBind installs a permission for the address: another port of "
      "it gets in, by Data indications.")
def installs_permission(bench):
    client, _ = bound(bench)
    other = bench.peer()
    other.send(b"another port", client.relayed[0])
    bench.comes_back(client, b"another port")


@case("8656-12.6-1", "RULE", "ChannelData becomes a datagram from the relayed address to the "
      "peer.")
def to_peer(bench):
    client, peer = bound(bench)
    for size in (1, 2, 3, 4, 5, 1201):
        data = os.urandom(size)
        client.channel(0x4000, data)
        source = bench.arrives(peer, data, f"{size} bytes")
        require(source == client.relayed[0], f"from {source}, not {client.relayed[0]}")


@case("8656-12.6-2", "RULE", "With a length of 0 an empty datagram is sent.")
def empty(bench):
    client, peer = bound(bench)
    client.channel(0x4000, b"")
    bench.arrives(peer, b"", "empty ChannelData")


@case("8656-12.6-3", "RULE", "Over UDP, bytes after the length (padding) are not sent on (section "
      "12.5).")
def padding_over_udp(bench):
    client, peer = bound(bench)
    client.link.send(stun.channel_data(0x4000, b"odd") + b"\0")
    bench.arrives(peer, b"odd", "3 bytes and padding")


@case("8656-12.6-4", "RULE", "Over UDP, ChannelData that is shorter than its length is silently "
      "discarded.")
def too_short(bench):
    client, peer = bound(bench)
    dropped(bench, client, peer, stun.channel_data(0x4000, b"short", length=6),
            "ChannelData that is cut short")
    bench.unheard(client.link, "ChannelData that is cut short")


@case("8656-12.6-5", "RULE", "ChannelData on a channel that is not bound is silently discarded.")
def unbound(bench):
    client, peer = bound(bench)
    dropped(bench, client, peer, stun.channel_data(0x4001, b"whereto"), "an unbound channel")
    bench.unheard(client.link, "ChannelData on an unbound channel")


@case("8656-12.6-6", "RULE", "A first byte in the reserved range (0x5000 to 0xFFFF) is silently "
      "discarded.")
def reserved_range(bench):
    client, peer = bound(bench)
    for number in (0x5000, 0x7FFF, 0xC000, 0xFFFF):
        dropped(bench, client, peer, stun.channel_data(number, b"reserved"), f"{number:#x}")
    bench.unheard(client.link, "ChannelData with a reserved number")


@case("8656-12-3", "MUST", "What begins with a reserved byte (4 to 15, 80 to 127, 192 to 255) is "
      "dropped (table 3).")
def reserved_first_bytes(bench):
    client, peer = bound(bench)
    for first in (4, 15, 80, 127, 192, 255):
        dropped(bench, client, peer, bytes([first]) + os.urandom(31), f"first byte {first}")
    bench.unheard(client.link, "a reserved first byte")


@case("8656-12.5-2", "MUST", "What the peer of a channel sends comes as ChannelData.")
def from_peer(bench):
    client, peer = bound(bench)
    for size in (0, 1, 2, 3, 4, 1201):
        data = os.urandom(size)
        peer.send(data, client.relayed[0])
        frame(client.receive_data(), 0x4000, data)


@case("8656-12.5-3", "RULE", "What the peer of a channel sends comes as ChannelData, also when the "
      "channel was bound after the first Data indication.")
def bound_later(bench):
    client, peer = bench.allocation(), bench.peer()
    client.permit(peer.address)
    bench.exchange(client, peer)
    client.bind(0x4000, peer.address)
    peer.send(b"now by channel", client.relayed[0])
    frame(client.receive_data(), 0x4000, b"now by channel")


@case("8656-12.5-4", "RULE", "A client may send by indications, too, while a channel is bound.")
def intermixed(bench):
    client, peer = bound(bench)
    for number in range(3):
        client.send(peer.address, b"by Send %d" % number)
        bench.arrives(peer, b"by Send %d" % number)
        client.channel(0x4000, b"by channel %d" % number)
        bench.arrives(peer, b"by channel %d" % number)


@case("8656-12.5-5", "MUST", "Over TCP, the server's ChannelData is padded to four bytes, and its "
      "length does not count the padding.")
def padded_over_tcp(bench):
    client, peer = bound(bench, kind="tcp")
    for size in (1, 2, 3, 4, 5):
        peer.send(b"p" * size, client.relayed[0])
        item = frame(client.receive_data(), 0x4000, b"p" * size)
        require(len(item.raw) % 4 == 0, f"{item} in {len(item.raw)} bytes")
    require(client.refresh().ok, "the stream is out of step")


@case("8656-12.5-6", "MUST", "Over TCP, the padding of the client's ChannelData is taken off.")
def padding_from_tcp(bench):
    client, peer = bound(bench, kind="tcp")
    for size in (1, 2, 3, 4, 5, 0, 6):
        data = os.urandom(size)
        client.channel(0x4000, data)
        bench.arrives(peer, data, f"{size} bytes")


@case("8656-12.5-7", "CARE", "Padding of ChannelData is zero: it leaks nothing that others sent.")
def padding_leaks(bench):
    client, peer = bound(bench, kind="tcp")
    peer.send(b"\xa5" * 900, client.relayed[0])
    frame(client.receive_data(), 0x4000, b"\xa5" * 900)
    for size in (1, 2, 3, 5):
        peer.send(b"p" * size, client.relayed[0])
        item = frame(client.receive_data(), 0x4000, b"p" * size)
        require(not any(item.padding), f"padding {item.padding.hex()}")
