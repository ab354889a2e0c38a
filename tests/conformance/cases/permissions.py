# SPDX-License-Identifier: ISC
"""Permissions and CreatePermission (RFC 8656 sections 9 and 10)."""

import stun
import suite
from client import require, show
from stun import A, M

case = suite.group("permissions", "Permissions")


@case("8656-10.2-1", "MUST", "CreatePermission without XOR-PEER-ADDRESS: 400.")
def no_address(bench):
    bench.allocation().expect(M.CREATE_PERMISSION, 400)


@case("8656-10.2-2", "RULE", "CreatePermission with an invalid XOR-PEER-ADDRESS (cut short, or of "
      "family 0x07): 400.")
def invalid_address(bench):
    client = bench.allocation()
    for value in (b"\0\x01\x12\x34", b"\0\x07\x12\x34\x01\x02\x03\x04"):
        client.expect(M.CREATE_PERMISSION, 400, [(A.XOR_PEER_ADDRESS, value)])


@case("8656-10.2-3", "RULE", "CreatePermission with a valid and an invalid XOR-PEER-ADDRESS: 400.")
def one_is_invalid(bench):
    client, peer = bench.allocation(), bench.peer()
    txid = b"second-wrong"
    client.expect(M.CREATE_PERMISSION, 400,
                  [client.peer_attribute(peer.address, txid), (A.XOR_PEER_ADDRESS, b"\0\x01\0\1")],
                  txid=txid)


@case("8656-10.2-4", "RULE", "Several addresses may stand in one request; each gets its "
      "permission.")
def several(bench):
    client, one, two = bench.allocation(), bench.peer(0), bench.peer(1)
    client.permit(one.address, two.address)
    bench.exchange(client, one)
    bench.exchange(client, two)


@case("8656-10.2-5", "MUST", "CreatePermission for an address of a family that the allocation does "
      "not have: 443.")
def other_family(bench):
    response = bench.allocation().with_peers(M.CREATE_PERMISSION, [("2001:db8::77", 7)])
    require(response.code == 443, f"{show(response)} instead of 443")


@case("8656-10.2-6", "MUST", "An IPv4 address for an IPv6 allocation: 443.")
def other_family6(bench):
    response = bench.allocation6().with_peers(M.CREATE_PERMISSION, [("192.0.2.77", 7)])
    require(response.code == 443, f"{show(response)} instead of 443")


@case("8656-10.2-7", "RULE", "The port is ignored: a permission for port 0 lets every port in.")
def any_port(bench):
    client, one, two = bench.allocation(), bench.peer(), bench.peer()
    client.permit((one.host, 0))
    bench.exchange(client, one)
    bench.exchange(client, two)


@case("8656-9-1", "RULE", "Without a permission a peer's datagrams are silently discarded.")
def uninvited(bench):
    client, peer = bench.allocation(), bench.peer()
    peer.send(b"uninvited", client.relayed[0])
    bench.nothing_back(client, "a datagram without a permission")


@case("8656-9-2", "RULE", "A permission is for one address: other addresses stay out.")
def other_address(bench):
    client, one, two = bench.allocation(), bench.peer(0), bench.peer(1)
    client.permit(one.address)
    two.send(b"uninvited", client.relayed[0])
    one.send(b"invited", client.relayed[0])
    bench.comes_back(client, b"invited")
    bench.nothing_back(client, "a datagram from another address")


@case("8656-9-3", "RULE", "Permissions of one allocation are nothing to another.")
def other_allocation(bench):
    first, second, peer = bench.allocation(), bench.allocation(), bench.peer()
    first.permit(peer.address)
    peer.send(b"uninvited", second.relayed[0])
    bench.nothing_back(second, "a permission of another allocation")
    second.send(peer.address, b"not allowed")
    bench.nothing_at(peer, "a Send indication by another's permission")


@case("8656-9-4", "RULE", "A permission lets data in before the client has sent any.")
def in_first(bench):
    client, peer = bench.allocation(), bench.peer()
    client.permit(peer.address)
    peer.send(b"me first", client.relayed[0])
    bench.comes_back(client, b"me first")


@case("8656-10.2-8", "RULE", "A permission may be installed again; the request succeeds.")
def again(bench):
    client, peer = bench.allocation(), bench.peer()
    for _ in range(3):
        client.permit(peer.address)
    bench.exchange(client, peer)


@case("8656-10.2-9", "RULE", "A retransmitted CreatePermission succeeds again.")
def retransmitted(bench):
    client, peer = bench.allocation(), bench.peer()
    txid = b"twice-please"
    data = client.form(M.CREATE_PERMISSION, [client.peer_attribute(peer.address, txid)], txid=txid)
    for _ in range(2):
        response = client.transact(data)
        require(response is not None and response.ok, show(response))


@case("8656-21.4-1", "MUST", "Teredo (2001::/32) and 6to4 (2002::/16) addresses are not accepted "
      "in ChannelBind requests.")
def tunnels(bench):
    client = bench.allocation6()
    for number, host in enumerate(("2001:0:c000:201::1", "2002:c000:204::1")):
        response = client.ask_channel(0x4000 + number, (host, 4000))
        require(response.klass == stun.ERROR, f"{show(response)} for {host}")


@case("8656-21.4-2", "CARE", "Teredo and 6to4 addresses are not accepted in CreatePermission "
      "requests either: 403.")
def tunnels_by_permission(bench):
    client = bench.allocation6()
    for host in ("2001:0:c000:201::1", "2002:c000:204::1"):
        response = client.with_peers(M.CREATE_PERMISSION, [(host, 4000)])
        require(response.code == 403, f"{show(response)} for {host}")
