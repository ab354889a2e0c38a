# SPDX-License-Identifier: ISC
"""Creating allocations (RFC 8656 sections 5 to 7)."""

import os

import stun
import suite
from client import require, show
from stun import A, M

case = suite.group("allocate", "Allocate")

TRANSPORT = (A.REQUESTED_TRANSPORT, stun.u8(stun.UDP))
V4, V6 = ((A.REQUESTED_ADDRESS_FAMILY, stun.u8(family)) for family in (stun.IPV4, stun.IPV6))
BOTH = (A.ADDITIONAL_ADDRESS_FAMILY, stun.u8(stun.IPV6))
DEFAULT_LIFETIME = 600


def about(seen, least, most=None):
    """A lifetime within these bounds; the answer may tell what is left of it, a moment later."""
    return seen is not None and least - 2 <= seen <= (least if most is None else most)


def is_v6(address):
    return ":" in address[0]


def lifetime(bench, asked):
    """(what the Allocate response says, what a Refresh without LIFETIME says)."""
    client = bench.client()
    response = client.allocate(*([] if asked is None else [(A.LIFETIME, stun.u32(asked))]))
    require(response.has(A.LIFETIME), f"{show(response)}: no LIFETIME")
    return client.lifetime


@case("8656-5-10", "MUST", "A TURN server supports UDP between client and server.")
def over_udp(bench):
    bench.allocation()


@case("8656-5-11", "SHOULD", "A TURN server supports TCP between client and server.")
def over_tcp(bench):
    bench.allocation(kind="tcp")


@case("8656-5-12", "SHOULD", "A TURN server supports TLS over TCP between client and server.")
def over_tls(bench):
    bench.allocation(kind="tls")


@case("8656-5-13", "MUST", "Refresh, CreatePermission and ChannelBind without an allocation are "
      "refused with 437.")
def no_allocation(bench):
    client, peer = bench.client(), bench.peer()
    seen = [client.refresh(), client.with_peers(M.CREATE_PERMISSION, [peer.address]),
            client.ask_channel(0x4000, peer.address)]
    bad = [show(response) for response in seen if response.code != 437]
    require(not bad, f"instead of 437: {'; '.join(bad)}")


@case("8656-5-14", "MUST", "Send indications and ChannelData without an allocation are silently "
      "ignored.")
def no_allocation_for_data(bench):
    client, peer = bench.client(), bench.peer()
    client.send(peer.address, b"from nowhere")
    bench.unheard(client.link, "a Send indication without an allocation")
    client.channel(0x4000, b"from nowhere")
    bench.unheard(client.link, "ChannelData without an allocation")
    bench.nothing_at(peer, "data without an allocation")


@case("8656-5-15", "SHOULD", "Allocate and Refresh responses have SOFTWARE.")
def software(bench):
    client = bench.client()
    for response in (client.allocate(), client.refresh()):
        require(response.has(A.SOFTWARE), f"{show(response)}: no SOFTWARE")


@case("8656-6-1", "MUST", "Relayed addresses are unique over all allocations.")
def unique(bench):
    clients = [bench.client(identity=f"{bench.name}-{number}") for number in range(12)]
    relayed = []
    for client in clients:
        client.allocate()
        relayed += client.relayed
    require(len(set(relayed)) == len(relayed), f"{sorted(relayed)}")


@case("8656-7.2-2", "RULE", "A second Allocate request (another transaction) on a 5-tuple that is "
      "in use is refused with 437.")
def in_use(bench):
    bench.allocation().expect(M.ALLOCATE, 437, [TRANSPORT])


@case("8656-7.2-3", "RULE", "A deleted allocation leaves its 5-tuple free: the next Allocate "
      "request succeeds at once.")
def free_again(bench):
    client = bench.allocation()
    client.refresh(0)
    client.allocate()


@case("8656-7.2-4", "MUST", "A retransmitted Allocate request (same transaction) gets a success "
      "response with the same relayed address (RFC 8489 section 6.3.1).")
def retransmission(bench):
    client = bench.client()
    client.challenge()
    data = client.form(M.ALLOCATE, [TRANSPORT])
    first = client.transact(data)
    require(first is not None and first.ok, show(first))
    client.keep(first)
    second = client.transact(data)
    require(second is not None and second.ok, f"{show(second)} to the retransmission")
    require(second.address(A.XOR_RELAYED_ADDRESS) == client.relayed[0],
            f"{client.relayed[0]}, then {second.address(A.XOR_RELAYED_ADDRESS)}")


@case("8656-7.2-5", "RULE", "Allocate without REQUESTED-TRANSPORT: 400.")
def no_transport(bench):
    bench.client().expect(M.ALLOCATE, 400, [(A.LIFETIME, stun.u32(600))])


@case("8656-7.2-6", "RULE", "Allocate with a malformed REQUESTED-TRANSPORT (one byte long): 400.")
def malformed_transport(bench):
    bench.client().expect(M.ALLOCATE, 400, [(A.REQUESTED_TRANSPORT, b"\x11")])


@case("8656-7.2-7", "RULE", "Allocate with a transport that is not supported: 442.")
def unknown_transport(bench):
    bench.client().expect(M.ALLOCATE, 442, [(A.REQUESTED_TRANSPORT, stun.u8(132))])


@case("8656-18.8-1", "MUST", "The reserved bytes of REQUESTED-TRANSPORT are ignored.")
def transport_reserved(bench):
    client = bench.client()
    client.keep(client.succeed(M.ALLOCATE, [(A.REQUESTED_TRANSPORT, b"\x11abc")]))


@case("8656-7.2-8", "RULE", "DONT-FRAGMENT is either supported or refused like an unknown "
      "attribute: 420 that lists it.")
def dont_fragment(bench):
    client = bench.client()
    response = client.request(M.ALLOCATE, [TRANSPORT, (A.DONT_FRAGMENT, b"")])
    if response.ok:
        client.keep(response)
        return "supported"
    require(response.code == 420 and b"\0\x1a" in (response.get(A.UNKNOWN_ATTRIBUTES) or b""),
            f"{show(response)} instead of success or 420 with the list")
    return "refused with 420"


@case("8656-7.2-9", "RULE", "Allocate with REQUESTED-ADDRESS-FAMILY and ADDITIONAL-ADDRESS-FAMILY: "
      "400.", new=True)
def both_families(bench):
    bench.client().expect(M.ALLOCATE, 400, [TRANSPORT, V4, BOTH])


@case("8656-7.2-10", "MUST", "A family that is not supported (0x03) is refused with 440.")
def unknown_family(bench):
    bench.client().expect(M.ALLOCATE, 440, [TRANSPORT, (A.REQUESTED_ADDRESS_FAMILY, stun.u8(3))])


@case("8656-7.2-11", "MUST", "Without REQUESTED-ADDRESS-FAMILY the relayed address is IPv4, also "
      "for a client that comes by IPv6.")
def ipv4_by_default(bench):
    for family in (4, 6):
        if family in bench.target.servers:
            client = bench.allocation(family=family)
            require(len(client.relayed) == 1 and not is_v6(client.relayed[0]),
                    f"a client on IPv{family} got {client.relayed}")


@case("8656-7.2-12", "RULE", "REQUESTED-ADDRESS-FAMILY IPv4 gives an IPv4 relayed address.")
def ipv4_by_name(bench):
    client = bench.allocation(V4)
    require([is_v6(address) for address in client.relayed] == [False], f"got {client.relayed}")


@case("8656-7.2-13", "MUST", "REQUESTED-ADDRESS-FAMILY IPv6 gives an IPv6 relayed address, or "
      "440.")
def ipv6_by_name(bench):
    client = bench.client()
    response = client.request(M.ALLOCATE, [TRANSPORT, V6])
    if not response.ok:
        require(response.code == 440, f"{show(response)} instead of success or 440")
        return "440"
    client.keep(response)
    require([is_v6(address) for address in client.relayed] == [True], f"got {client.relayed}")
    return "IPv6"


@case("8656-18.6-1", "MUST", "The reserved bytes of REQUESTED-ADDRESS-FAMILY are ignored.")
def family_reserved(bench):
    bench.allocation((A.REQUESTED_ADDRESS_FAMILY, b"\x01abc"))


@case("8656-7.2-14", "RULE", "Allocate with ADDITIONAL-ADDRESS-FAMILY IPv4: 400.", new=True)
def additional_ipv4(bench):
    bench.client().expect(M.ALLOCATE, 400,
                          [TRANSPORT, (A.ADDITIONAL_ADDRESS_FAMILY, stun.u8(stun.IPV4))])


def dual(bench, **options):
    client = bench.client(**options)
    response = client.succeed(M.ALLOCATE, [TRANSPORT, BOTH])
    client.keep(response)
    return client, response


@case("8656-7.2-15", "RULE", "ADDITIONAL-ADDRESS-FAMILY IPv6 gives two relayed addresses, one of "
      "each family, or one and ADDRESS-ERROR-CODE.", new=True)
def dual_allocation(bench):
    client, response = dual(bench)
    if len(client.relayed) == 1:
        require(response.has(A.ADDRESS_ERROR_CODE), f"{client.relayed} and no ADDRESS-ERROR-CODE")
        return "one, with ADDRESS-ERROR-CODE"
    require(sorted(map(is_v6, client.relayed)) == [False, True], f"got {client.relayed}")
    return "two"


@case("8656-18.12-1", "MUST", "ADDRESS-ERROR-CODE names the family, 440 or 508, reserved bits "
      "zero, and a reason of fewer than 128 characters of UTF-8.", new=True)
def address_error_code(bench):
    client, response = dual(bench)
    value = response.get(A.ADDRESS_ERROR_CODE)
    bench.applicable(value is not None, f"no partial failure: {len(client.relayed)} address(es)")
    code = (value[2] & 7) * 100 + value[3]
    require(value[0] in (1, 2) and code in (440, 508) and not value[1] and not value[2] & 0xF8
            and len(value[4:].decode()) < 128, f"ADDRESS-ERROR-CODE {value.hex()}")


@case("8656-7.2-16", "RULE", "The success response has XOR-RELAYED-ADDRESS, LIFETIME and "
      "XOR-MAPPED-ADDRESS, which is the client's address.")
def success_response(bench):
    client = bench.client()
    response = client.allocate()
    for kind in (A.XOR_RELAYED_ADDRESS, A.LIFETIME, A.XOR_MAPPED_ADDRESS):
        require(response.has(kind), f"{show(response)}: no {kind.name}")
    require(response.address() == client.link.local,
            f"XOR-MAPPED-ADDRESS {response.address()}, the client is {client.link.local}")


@case("8656-6-2", "RULE", "Without LIFETIME an allocation lasts 600 seconds.")
def default_lifetime(bench):
    seen = lifetime(bench, None)
    require(about(seen, DEFAULT_LIFETIME), f"LIFETIME {seen}")


@case("8656-7.2-17", "RULE", "A LIFETIME below the default gives the default.")
def short_lifetime(bench):
    seen = lifetime(bench, 60), lifetime(bench, 0)
    require(all(about(each, DEFAULT_LIFETIME) for each in seen),
            f"asked for 60 and 0, LIFETIME {seen}")


@case("8656-7.2-18", "RULE", "A LIFETIME above the default gives that, or the server's maximum, "
      "but not less than the default.")
def long_lifetime(bench):
    seen = lifetime(bench, 900)
    require(about(seen, DEFAULT_LIFETIME, 900), f"asked for 900, LIFETIME {seen}")
    return f"LIFETIME {seen}"


@case("8656-7.2-19", "SHOULD", "The maximum lifetime is no more than 3,600 seconds.")
def maximum_lifetime(bench):
    seen = lifetime(bench, 0xFFFFFFFF)
    require(about(seen, DEFAULT_LIFETIME, 3600), f"asked for for ever, LIFETIME {seen}")
    return f"LIFETIME {seen}"


@case("8656-7.2-20", "SHOULD", "Relayed ports are not in the range 0 to 1023.")
def no_well_known_port(bench):
    client = bench.allocation()
    require(client.relayed[0][1] > 1023, f"port {client.relayed[0][1]}")


@case("8656-7.2-21", "SHOULD", "Relayed ports are chosen at random (RFC 6056).")
def random_ports(bench):
    ports = []
    for number in range(8):
        client = bench.client(identity=f"{bench.name}-{number}")
        client.allocate()
        ports.append(client.relayed[0][1])
    steps = {b - a for a, b in zip(ports, ports[1:])}
    require(len(steps) > 2, f"ports one after the other: {ports}")


@case("8656-7.2-22", "SHOULD", "There is a limit for each username: beyond it 486, and another "
      "user still gets an allocation.")
def quota(bench):
    one = bench.other_user(bench.name)  # the same name, whatever the second
    refused = None
    for number in range(40):
        client = bench.client(credentials=one)
        response = client.request(M.ALLOCATE, [TRANSPORT])
        if not response.ok:
            refused = response
            break
        client.keep(response)
    require(refused is not None, "40 allocations by one user")
    require(refused.code == 486, f"{show(refused)} instead of 486 at number {number + 1}")
    other = bench.client(identity=bench.name + "-other")
    other.allocate()
    return f"486 at number {number + 1}"


@case("8656-7.2-23", "RULE", "The quota counts allocations that are active: one that was deleted "
      "makes room at once (section 5).")
def quota_is_given_back(bench):
    one = bench.other_user(bench.name)
    clients = []
    for _ in range(40):
        client = bench.client(credentials=one)
        response = client.request(M.ALLOCATE, [TRANSPORT])
        if not response.ok:
            break
        client.keep(response)
        clients.append(client)
    require(clients, f"no allocation at all: {show(response)}")
    bench.applicable(len(clients) < 40, "40 allocations by one user: no quota")
    require(clients[0].refresh(0).ok, "an allocation cannot be deleted")
    client = bench.client(credentials=one)
    response = client.request(M.ALLOCATE, [TRANSPORT])
    require(response.ok, f"{show(response)} after one of {len(clients)} was deleted")
    client.keep(response)


@case("8656-7-1", "RULE", "A failed Allocate request leaves nothing: the next on the same 5-tuple "
      "succeeds.")
def failure_leaves_nothing(bench):
    client = bench.client()
    client.expect(M.ALLOCATE, 400, [(A.LIFETIME, stun.u32(600))])
    response = client.request(M.ALLOCATE, [TRANSPORT, (A.RESERVATION_TOKEN, os.urandom(8))])
    require(response.klass == stun.ERROR, f"{show(response)} with a token that nobody gave out")
    client.allocate()
