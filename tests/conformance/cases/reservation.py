# SPDX-License-Identifier: ISC
"""EVEN-PORT and RESERVATION-TOKEN (RFC 8656 section 7.2)."""

import os
import time

import stun
import suite
from client import require, show
from stun import A, M

case = suite.group("reservation", "EVEN-PORT and RESERVATION-TOKEN")

TRANSPORT = (A.REQUESTED_TRANSPORT, stun.u8(stun.UDP))
EVEN, PAIR = (A.EVEN_PORT, b"\0"), (A.EVEN_PORT, b"\x80")
V4 = (A.REQUESTED_ADDRESS_FAMILY, stun.u8(stun.IPV4))
BOTH = (A.ADDITIONAL_ADDRESS_FAMILY, stun.u8(stun.IPV6))


def token(value=None):
    return A.RESERVATION_TOKEN, os.urandom(8) if value is None else value


def known(bench):
    """A server without EVEN-PORT fails the cases of that; what builds on it does not apply."""
    client = bench.client()
    response = client.request(M.ALLOCATE, [TRANSPORT, EVEN])
    bench.applicable(response.code != 420, f"the server does not know EVEN-PORT: {response}")
    if response.ok:
        client.keep(response)


def reserved(bench):
    """(client with an even port, the token for the next)."""
    known(bench)
    client = bench.client()
    response = client.allocate(PAIR)
    value = response.get(A.RESERVATION_TOKEN)
    require(value is not None, f"{show(response)}: no RESERVATION-TOKEN")
    return client, value


def claim(bench, value, **options):
    client = bench.client(**options)
    response = client.request(M.ALLOCATE, [TRANSPORT, token(value)])
    if response.ok:
        client.keep(response)
    return client, response


@case("8656-7.2-30", "RULE", "EVEN-PORT gives an even port.")
def even(bench):
    for number in range(4):
        client = bench.client(identity=f"{bench.name}-{number}")
        client.allocate(EVEN)
        require(client.relayed[0][1] % 2 == 0, f"port {client.relayed[0][1]}")


@case("8656-7.2-31", "RULE", "EVEN-PORT without R gives no RESERVATION-TOKEN.")
def no_token(bench):
    known(bench)
    response = bench.client().allocate(EVEN)
    require(not response.has(A.RESERVATION_TOKEN), f"{show(response)}")


@case("8656-18.7-1", "RULE", "The other bits of EVEN-PORT are ignored.")
def even_reserved(bench):
    known(bench)
    client = bench.client()
    response = client.allocate((A.EVEN_PORT, b"\x7f"))
    require(client.relayed[0][1] % 2 == 0 and not response.has(A.RESERVATION_TOKEN),
            f"port {client.relayed[0][1]}, {show(response)}")


@case("8656-7.2-32", "RULE", "EVEN-PORT with R gives an even port and a RESERVATION-TOKEN of 8 "
      "bytes.")
def pair(bench):
    client = bench.client()
    value = client.allocate(PAIR).get(A.RESERVATION_TOKEN) or b""
    require(client.relayed[0][1] % 2 == 0 and len(value) == 8,
            f"port {client.relayed[0][1]}, token {value.hex()}")


@case("8656-7.2-33", "RULE", "The token gives the next port of the same address, to another "
      "5-tuple.")
def claimed(bench):
    first, value = reserved(bench)
    second, response = claim(bench, value)
    require(response.ok, f"{show(response)} with the token")
    host, port = first.relayed[0]
    require(second.relayed == [(host, port + 1)], f"{first.relayed}, then {second.relayed}")


@case("8656-7.2-34", "RULE", "The 5-tuple that uses a token may have another transport.")
def claimed_by_tcp(bench):
    first, value = reserved(bench)
    second, response = claim(bench, value, kind="tcp")
    require(response.ok, f"{show(response)} with the token over TCP")
    require(second.relayed[0][1] == first.relayed[0][1] + 1, f"{first.relayed}, {second.relayed}")


@case("8656-7.2-35", "RULE", "A token is good for one allocation; then 508.")
def claimed_twice(bench):
    _, value = reserved(bench)
    _, response = claim(bench, value)
    require(response.ok, f"{show(response)} with the token")
    _, response = claim(bench, value)
    require(response.code == 508, f"{show(response)} instead of 508")


@case("8656-7.2-36", "RULE", "Allocate with a token that was never given out: 508.")
def unknown_token(bench):
    bench.client().expect(M.ALLOCATE, 508, [TRANSPORT, token()])


@case("8656-7.2-37", "RULE", "Allocate with RESERVATION-TOKEN and EVEN-PORT: 400.")
def token_and_even(bench):
    known(bench)
    bench.client().expect(M.ALLOCATE, 400, [TRANSPORT, token(), EVEN])


@case("8656-7.2-38", "RULE", "Allocate with RESERVATION-TOKEN and REQUESTED-ADDRESS-FAMILY: 400.")
def token_and_family(bench):
    known(bench)
    bench.client().expect(M.ALLOCATE, 400, [TRANSPORT, token(), V4])


@case("8656-7.2-39", "RULE", "Allocate with RESERVATION-TOKEN and ADDITIONAL-ADDRESS-FAMILY: "
      "400.", new=True)
def token_and_additional(bench):
    known(bench)
    bench.client().expect(M.ALLOCATE, 400, [TRANSPORT, token(), BOTH])


@case("8656-7.2-40", "RULE", "Allocate with EVEN-PORT with R and ADDITIONAL-ADDRESS-FAMILY: "
      "400.", new=True)
def pair_and_additional(bench):
    known(bench)
    bench.client().expect(M.ALLOCATE, 400, [TRANSPORT, PAIR, BOTH])


@case("8656-7.2-41", "MUST", "A retransmitted request gets the same RESERVATION-TOKEN (RFC 8489 "
      "section 6.3.1).")
def retransmitted_pair(bench):
    known(bench)
    client = bench.client()
    client.challenge()
    data = client.form(M.ALLOCATE, [TRANSPORT, PAIR])
    responses = [client.transact(data), client.transact(data)]
    for response in responses:
        require(response is not None and response.ok, show(response))
    client.keep(responses[0])
    tokens = [response.get(A.RESERVATION_TOKEN) for response in responses]
    require(tokens[0] and tokens[0] == tokens[1], f"{tokens}")


@case("8656-7.2-42", "RULE", "A reserved port is nobody else's meanwhile: what arrives there goes "
      "to nobody.")
def reserved_is_mute(bench):
    client, _ = reserved(bench)
    peer = bench.peer()
    client.permit(peer.address)
    host, port = client.relayed[0]
    peer.send(b"to the reserved port", (host, port + 1))
    bench.nothing_back(client, "a datagram to the reserved port")


@case("8656-7.2-43", "MUST", "A reservation is held for at least 30 seconds.", slow=True)
def held(bench):
    _, value = reserved(bench)
    time.sleep(28.5)
    _, response = claim(bench, value)
    require(response.ok, f"{show(response)} with the token after 28.5 s")
