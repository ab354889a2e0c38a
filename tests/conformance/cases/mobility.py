# SPDX-License-Identifier: ISC
"""Mobility (RFC 8016): optional; a server without it ignores MOBILITY-TICKET or answers 405."""

import os

import stun
import suite
from client import require, show
from stun import A, M

case = suite.group("mobility", "Mobility (RFC 8016, optional)")

TRANSPORT = (A.REQUESTED_TRANSPORT, stun.u8(stun.UDP))


def ticket(value=b""):
    return A.MOBILITY_TICKET, value


def mobile(bench):
    """(client with an allocation, its ticket)."""
    client = bench.client()
    response = client.request(M.ALLOCATE, [TRANSPORT, ticket()])
    if response.ok:
        client.keep(response)
    bench.applicable(response.code != 405, "mobility is forbidden: 405")
    require(response.ok, show(response))
    value = response.get(A.MOBILITY_TICKET)
    bench.applicable(value is not None, "the server does not know MOBILITY-TICKET")
    return client, value


def moved(bench, old, value, code=None):
    """The client at a new port, and the response to its Refresh with the ticket."""
    new = bench.client(credentials=(old.user, old.password))
    response = new.request(M.REFRESH, [ticket(value)])
    if response.ok:
        new.relayed, old.relayed = old.relayed, []
    return new, response


def refused(response, *codes):
    require(response.code in codes, f"{show(response)} instead of {' or '.join(map(str, codes))}")


@case("8016-3.1.2-1", "RULE", "Allocate with an empty MOBILITY-TICKET gives a ticket.")
def gives_ticket(bench):
    _, value = mobile(bench)
    require(value, "the ticket is empty")


@case("8016-3.1.2-2", "RULE", "Allocate with a MOBILITY-TICKET that is not empty: 400.")
def ticket_in_allocate(bench):
    mobile(bench)
    refused(bench.client().request(M.ALLOCATE, [TRANSPORT, ticket(b"used")]), 400)


@case("8016-3.2.2-1", "RULE", "Refresh with the ticket from a new port succeeds; data goes both "
      "ways from there, the relayed address and the channels stay.")
def moves(bench):
    old, value = mobile(bench)
    peer = bench.peer()
    old.bind(0x4000, peer.address)
    new, response = moved(bench, old, value)
    require(response.ok, f"{show(response)} to Refresh with the ticket")
    new.channel(0x4000, b"from the new place")
    source = bench.arrives(peer, b"from the new place")
    require(source == new.relayed[0], f"from {source}, not {new.relayed[0]}")
    peer.send(b"to the new place", new.relayed[0])
    item = new.receive_data()
    require(isinstance(item, stun.ChannelData) and item.data == b"to the new place", show(item))


@case("8016-3.2.2-2", "MUST", "The response has a ticket that differs from the old one.")
def new_ticket(bench):
    old, value = mobile(bench)
    _, response = moved(bench, old, value)
    require(response.ok and response.get(A.MOBILITY_TICKET), show(response))
    require(response.get(A.MOBILITY_TICKET) != value, "the same ticket again")


@case("8016-3.2.2-3", "MUST", "Until the client sends data from the new 5-tuple, data flows on the "
      "old, both ways.")
def make_before_break(bench):
    old, value = mobile(bench)
    peer = bench.peer()
    old.permit(peer.address)
    relayed = old.relayed
    _, response = moved(bench, old, value)
    require(response.ok, show(response))
    peer.send(b"still the old", relayed[0])
    bench.comes_back(old, b"still the old")
    old.send(peer.address, b"from the old")
    bench.arrives(peer, b"from the old")


@case("8016-3.2.2-4", "RULE", "Once the client has sent data from the new 5-tuple, the old one is "
      "nothing any more.")
def old_is_gone(bench):
    old, value = mobile(bench)
    peer = bench.peer()
    old.permit(peer.address)
    new, response = moved(bench, old, value)
    require(response.ok, show(response))
    new.send(peer.address, b"from the new")
    bench.arrives(peer, b"from the new")
    old.send(peer.address, b"from the old")
    bench.nothing_at(peer, "a Send indication from the old 5-tuple")
    refused(old.request(M.REFRESH), 437)


@case("8016-3.2.2-5", "MUST", "Refresh with an invalid ticket: 400.")
def invalid(bench):
    old, value = mobile(bench)
    new = bench.client(credentials=(old.user, old.password))
    refused(new.request(M.REFRESH, [ticket(os.urandom(len(value)))]), 400)


@case("8016-3.2.2-6", "RULE", "Refresh with a ticket from the 5-tuple of the allocation itself: "
      "400.")
def same_place(bench):
    client, value = mobile(bench)
    refused(client.request(M.REFRESH, [ticket(value)]), 400)


@case("8016-3.2.2-7", "MUST", "Refresh with a ticket and another user's credentials: 441; the "
      "allocation stays.")
def stolen(bench):
    old, value = mobile(bench)
    thief = bench.client(credentials=bench.other_user(bench.name + "-thief"))
    refused(thief.request(M.REFRESH, [ticket(value)]), 441)
    require(old.refresh().ok, "the allocation is gone")


@case("8016-3.2.2-8", "MUST", "Refresh with the ticket of an allocation that has ended: 437 (or "
      "400 where tickets end with it).")
def ended(bench):
    old, value = mobile(bench)
    require(old.refresh(0).ok, "the allocation cannot be deleted")
    old.relayed = []
    _, response = moved(bench, old, value)
    refused(response, 437, 400)


@case("8016-3.2.2-9", "RULE", "A retransmitted Refresh with the old ticket is answered with "
      "success for at least 30 seconds.")
def retransmitted(bench):
    old, value = mobile(bench)
    new = bench.client(credentials=(old.user, old.password))
    new.challenge()
    data = new.form(M.REFRESH, [ticket(value)])
    response = new.transact(data)
    if response is not None and response.code == 438:
        new.learn(response)
        data = new.form(M.REFRESH, [ticket(value)])
    for _ in range(2):
        response = new.transact(data)
        require(response is not None and response.ok, show(response))
    new.relayed, old.relayed = old.relayed, []


@case("8016-5-1", "MUST", "Tickets have strong entropy: two of them have nothing in common.")
def entropy(bench):
    tickets = [mobile(bench)[1] for _ in range(3)]
    require(len(set(tickets)) == 3 and all(len(value) >= 8 for value in tickets),
            f"{[value.hex() for value in tickets]}")
    same = sum(a == b == c for a, b, c in zip(*tickets))
    require(same <= len(tickets[0]) // 2, f"{same} of {len(tickets[0])} bytes are always the same")
