# SPDX-License-Identifier: ISC
"""What no sentence asks for, or only as a consideration: robustness, amplification, peers that
should be refused. None of this is conformance; it is what servers were attacked with."""

import os
import random

import stun
import suite
from client import Client, require, show
from stun import A, M

case = suite.group("care", "Robustness (beyond the text)")

TRANSPORT = (A.REQUESTED_TRANSPORT, stun.u8(stun.UDP))
FACTOR = 3  # RFC 9000 section 8.1: what QUIC allows towards an address that is not proved


def answer_size(bench, data):
    """Bytes that come back for one datagram."""
    link = bench.link()
    link.send(data)
    return sum(len(item.raw) for item in link.drain(2 * bench.timing.quiet))


def amplification(bench, what, data):
    size = answer_size(bench, data)
    seen = f"{what}: {len(data)} bytes, {size} back, factor {size / len(data):.1f}"
    require(size <= FACTOR * len(data), seen)
    return seen


@case("care-amplification-1", "CARE", "A Binding request of 20 bytes is not answered by more than "
      "three times as many.")
def amplified_binding(bench):
    return amplification(bench, "Binding", stun.build(M.BINDING, stun.REQUEST))


@case("care-amplification-2", "CARE", "An Allocate request of 20 bytes is not answered by more "
      "than three times as many.")
def amplified_empty_allocate(bench):
    return amplification(bench, "Allocate", stun.build(M.ALLOCATE, stun.REQUEST))


@case("care-amplification-3", "CARE", "An Allocate request of 28 bytes (REQUESTED-TRANSPORT), as "
      "clients send it, is not answered by more than three times as many.")
def amplified_allocate(bench):
    return amplification(bench, "Allocate", stun.build(M.ALLOCATE, stun.REQUEST, [TRANSPORT]))


@case("care-amplification-4", "CARE", "Refresh, CreatePermission and ChannelBind of 20 bytes are "
      "not answered by more than three times as many.")
def amplified_others(bench):
    return "; ".join(amplification(bench, method.name, stun.build(method, stun.REQUEST))
                     for method in (M.REFRESH, M.CREATE_PERMISSION, M.CHANNEL_BIND))


@case("care-amplification-5", "CARE", "A Binding request with an unknown attribute is not answered "
      "by more than three times its bytes.")
def amplified_unknown(bench):
    return amplification(bench, "Binding with an unknown attribute",
                         stun.build(M.BINDING, stun.REQUEST, [(0x7F31, b"")]))


@case("care-amplification-6", "CARE", "A request with wrong credentials is not answered by more "
      "than three times its bytes.")
def amplified_wrong(bench):
    data = stun.build(M.ALLOCATE, stun.REQUEST,
                      [TRANSPORT, (A.USERNAME, b"u"), (A.REALM, b"r"), (A.NONCE, b"n")], key=b"k")
    return amplification(bench, "Allocate with wrong credentials", data)


@case("care-nonce-1", "CARE", "A nonce of one address is not good from another port: 438.")
def nonce_of_another(bench):
    one, two = bench.client(), bench.client()
    one.challenge()
    two.challenge()
    response = two.request(M.ALLOCATE, [TRANSPORT], nonce=one.nonce)
    if response.ok:
        two.keep(response)
    require(response.code == 438, f"{show(response)} instead of 438")


def mangled(rng, client):
    """Messages that are nearly right."""
    good = stun.build(rng.choice(list(M)), rng.randrange(4),
                      [(rng.choice([*stun.A, 0x7F31]), rng.randbytes(rng.randrange(24)))
                       for _ in range(rng.randrange(6))], key=rng.choice([None, b"key"]))
    data = bytearray(rng.choice([good, client.form(M.REFRESH)]))
    for _ in range(rng.randrange(4)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data[:rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data)


@case("care-robust-1", "CARE", "3,000 mangled messages leave a server that still serves.")
def storm(bench):
    client, peer = bench.allocation(), bench.peer()
    client.permit(peer.address)
    seed = int.from_bytes(os.urandom(4), "big")
    rng = random.Random(seed)
    noise = Client(bench.link(), (client.user, client.password), bench.timing)
    noise.realm, noise.nonce = client.realm, client.nonce
    for number in range(3000):
        noise.link.send(mangled(rng, noise))
        if number % 50 == 0:
            noise.link.drain(0.005)
    noise.link.drain(bench.timing.quiet)
    require(client.refresh().ok, f"no Refresh after the storm, seed {seed}")
    bench.exchange(client, peer)
    return f"seed {seed}"


@case("care-robust-2", "CARE", "An attribute that is longer than its message is not believed.")
def attribute_beyond(bench):
    link = bench.link()
    body = stun.attribute(A.SOFTWARE, b"short", length=400)
    link.send(stun.header(M.BINDING, stun.REQUEST, len(body), os.urandom(12)) + body)
    items = link.drain(2 * bench.timing.quiet)
    require(not any(item.ok for item in items if isinstance(item, stun.Message)),
            f"{', '.join(map(show, items))}")


@case("care-robust-3", "CARE", "Half a message on TCP holds up nobody else.")
def half_a_message(bench):
    stuck = bench.link("tcp")
    stuck.send(stun.build(M.BINDING, stun.REQUEST)[:13])
    for kind in ("tcp", "udp"):
        client = Client(bench.link(kind), ("", ""), bench.timing)
        require(client.transact(stun.build(M.BINDING, stun.REQUEST)) is not None,
                f"no answer on {kind}")


@case("care-robust-4", "CARE", "A client on TCP that does not read does not hold up the others.")
def slow_reader(bench):
    client, peer = bench.allocation(kind="tcp"), bench.peer()
    client.permit(peer.address)
    other, friend = bench.allocation(), bench.peer()
    other.permit(friend.address)
    for _ in range(1500):
        peer.sock.sendto(bytes(1200), client.relayed[0])
    bench.exchange(other, friend)


def denied(bench, host, family=4):
    """An address that a client wants for a peer."""
    client = bench.allocation() if family == 4 else bench.allocation6()
    response = client.with_peers(M.CREATE_PERMISSION, [(host, 3478)])
    require(response.klass == stun.ERROR, f"a permission for {host}")
    return f"{response.code} for {host}"


@case("care-peer-1", "CARE", "A permission for loopback is refused (RFC 8656 section 21.1.4).")
def loopback(bench):
    return denied(bench, "127.0.0.1")


@case("care-peer-2", "CARE", "A permission for IPv6 loopback, or for IPv4 loopback as a mapped "
      "address, is refused.")
def loopback6(bench):
    return denied(bench, "::1", 6) + ", " + denied(bench, "::ffff:127.0.0.1", 6)


@case("care-peer-3", "CARE", "Permissions for 0.0.0.0, broadcast and multicast are refused.")
def nobody(bench):
    return ", ".join(denied(bench, host) for host in ("0.0.0.0", "255.255.255.255", "224.0.0.1"))


@case("care-peer-4", "CARE", "A permission for a link-local address, where clouds keep their "
      "metadata, is refused.")
def link_local(bench):
    return denied(bench, "169.254.169.254")


@case("care-peer-5", "CARE", "The server itself at its own port cannot be reached (TURN loop, RFC "
      "8656 section 21.1.7).")
def itself(bench):
    host, port = bench.server()
    client = bench.allocation()
    response = client.with_peers(M.CREATE_PERMISSION, [(host, port)])
    if not response.ok:
        return show(response)
    request = stun.build(M.BINDING, stun.REQUEST)
    client.send((host, port), request)
    item = client.receive_data(2 * bench.timing.quiet)
    require(item is None, "its own listener answered a relayed request")


@case("care-peer-6", "CARE", "Private ranges are refused unless the operator allows them.")
def private(bench):
    return ", ".join(denied(bench, host) for host in ("10.0.0.1", "172.16.0.1", "192.168.0.1"))


@case("care-hairpin-1", "CARE", "Two allocations of one server reach each other.")
def hairpin(bench):
    one, two = bench.allocation(), bench.allocation()
    one.permit(two.relayed[0])
    two.permit(one.relayed[0])
    one.send(two.relayed[0], b"across")
    item = bench.comes_back(two, b"across", "a datagram between allocations")
    require(item.address(A.XOR_PEER_ADDRESS) == one.relayed[0],
            f"from {item.address(A.XOR_PEER_ADDRESS)}")
