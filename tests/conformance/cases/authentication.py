# SPDX-License-Identifier: ISC
"""The long-term credential mechanism as RFC 5389 had it, too (RFC 8489 section 9.2)."""

import stun
import suite
from client import require, show
from stun import A, M

case = suite.group("authentication", "Long-term credentials")

TRANSPORT = (A.REQUESTED_TRANSPORT, stun.u8(stun.UDP))
SECRETS = (A.USERNAME, A.USERHASH, A.MESSAGE_INTEGRITY, A.MESSAGE_INTEGRITY_SHA256)


def without(response, kinds):
    found = [kind.name for kind in kinds if response.has(kind)]
    require(not found, f"{response} has {', '.join(found)}")


def refused(response, code):
    require(response.code == code, f"{show(response)} instead of {code}")
    require(response.get(A.REALM) and response.get(A.NONCE),
            f"{show(response)}: no REALM or no NONCE")
    return response


def incomplete(bench, omitted):
    client = bench.client()
    client.challenge()
    return client.request(M.ALLOCATE, [TRANSPORT], omit=[omitted])


@case("8489-9.2.4-1", "MUST", "A request without integrity is refused with 401, REALM and NONCE.")
def challenge(bench):
    refused(bench.client().plain(M.ALLOCATE, [TRANSPORT]), 401)


@case("8489-9.2.4-2", "MUST", "Requests from different addresses or ports get different "
      "nonces.", new=True)
def nonces_differ(bench):
    nonces = [bench.client().challenge().get(A.NONCE) for _ in range(4)]
    require(len(set(nonces)) == len(nonces), f"one NONCE for two ports: {nonces[0]!r}")


@case("8489-9.2.4-3", "SHOULD", "The challenge has no USERNAME, USERHASH or integrity.")
def challenge_is_bare(bench):
    without(bench.client().challenge(), SECRETS)


@case("8489-9.2.4-4", "MUST", "Integrity without USERNAME (or USERHASH) is refused with 400.")
def no_username(bench):
    response = incomplete(bench, A.USERNAME)
    require(response.code == 400, f"{show(response)} instead of 400")


@case("8489-9.2.4-5", "MUST", "Integrity without REALM is refused with 400.")
def no_realm(bench):
    response = incomplete(bench, A.REALM)
    require(response.code == 400, f"{show(response)} instead of 400")


@case("8489-9.2.4-6", "MUST", "Integrity without NONCE is refused with 400.")
def no_nonce(bench):
    response = incomplete(bench, A.NONCE)
    require(response.code == 400, f"{show(response)} instead of 400")


@case("8489-9.2.4-7", "SHOULD", "A 400 for want of USERNAME, REALM or NONCE has no USERNAME, "
      "USERHASH, NONCE or REALM.")
def bare_400(bench):
    for omitted in (A.USERNAME, A.REALM, A.NONCE):
        response = incomplete(bench, omitted)
        require(response.code == 400, f"{show(response)} instead of 400")
        without(response, (*SECRETS, A.NONCE, A.REALM))


@case("8489-9.2.4-8", "MUST", "A username that is not valid is refused with 401, REALM and NONCE.")
def unknown_user(bench):
    client = bench.client(credentials=("nobody-knows-me", "whatever"))
    refused(client.request(M.ALLOCATE, [TRANSPORT]), 401)


@case("8489-9.2.4-9", "MUST", "A wrong MESSAGE-INTEGRITY is refused with 401, REALM and NONCE.")
def wrong_integrity(bench):
    client = bench.client()
    refused(client.request(M.ALLOCATE, [TRANSPORT], integrity=("bad-sha1",)), 401)


@case("8489-9.2.4-10", "MUST", "An integrity by another password is refused with 401, REALM and "
      "NONCE.")
def wrong_password(bench):
    user, _ = bench.target.credentials(bench.name)
    client = bench.client(credentials=(user, "not the password"))
    refused(client.request(M.ALLOCATE, [TRANSPORT]), 401)


@case("8489-9.2.4-11", "SHOULD", "A 401 to a wrong integrity has no USERNAME, USERHASH or "
      "integrity.")
def wrong_integrity_is_bare(bench):
    client = bench.client()
    without(refused(client.request(M.ALLOCATE, [TRANSPORT], integrity=("bad-sha1",)), 401), SECRETS)


def stale(bench):
    """(client, 438 to a nonce of its own making)."""
    client = bench.client()
    client.challenge()
    nonce = client.nonce
    forged = nonce[:-4] + bytes(reversed(nonce[-4:]))
    forged = forged if forged != nonce else nonce[:-1] + (b"0" if nonce[-1:] != b"0" else b"1")
    return client, client.request(M.ALLOCATE, [TRANSPORT], nonce=forged)


@case("8489-9.2.4-12", "MUST", "A nonce that is not valid is refused with 438, REALM and NONCE.")
def stale_nonce(bench):
    refused(stale(bench)[1], 438)


@case("8489-9.2.4-13", "MUST", "The NONCE of a 438 is valid.")
def fresh_nonce_is_valid(bench):
    client, response = stale(bench)
    client.learn(refused(response, 438))
    response = client.request(M.ALLOCATE, [TRANSPORT], nonce=client.nonce)
    require(response.ok, f"{show(response)} with the NONCE of the 438")
    client.keep(response)


@case("8489-9.2.4-14", "SHOULD", "A 438 has no USERNAME or USERHASH.")
def stale_is_bare(bench):
    without(refused(stale(bench)[1], 438), (A.USERNAME, A.USERHASH))


@case("8489-9.2.4-15", "MUST", "A success response to a request with MESSAGE-INTEGRITY has it, "
      "too, by the same key.")
def success_is_signed(bench):
    client = bench.client()
    response = client.allocate()
    require(response.integrity(client.key()) is True, f"{show(response)}: integrity "
            f"{response.integrity(client.key())}")
    without(response, (A.MESSAGE_INTEGRITY_SHA256,))


@case("8489-9.2.4-16", "MUST", "Every error response to an authenticated request has "
      "MESSAGE-INTEGRITY.")
def errors_are_signed(bench):
    client = bench.allocation()
    seen = {
        "437 to Allocate": client.request(M.ALLOCATE, [TRANSPORT]),
        "420 to Refresh": client.request(M.REFRESH, [(0x7F31, b"")]),
        "400 to CreatePermission": client.request(M.CREATE_PERMISSION),
        "400 to ChannelBind": client.request(M.CHANNEL_BIND),
    }
    bad = [f"{what} ({show(response)})" for what, response in seen.items() if not response.verified]
    require(not bad, f"without a right integrity: {'; '.join(bad)}")


@case("8489-9.2.4-17", "SHOULD", "Responses to authenticated requests have no REALM, NONCE, "
      "USERNAME or USERHASH.")
def responses_are_bare(bench):
    client = bench.client()
    for response in (client.allocate(), client.request(M.CREATE_PERMISSION)):
        without(response, (A.REALM, A.NONCE, A.USERNAME, A.USERHASH))


@case("8489-9.2.4-18", "RULE", "One nonce serves for more than one request.")
def nonce_is_reused(bench):
    client = bench.allocation()
    nonce = client.nonce
    for _ in range(3):
        response = client.request(M.REFRESH, nonce=nonce)
        require(response.ok, f"{show(response)} with the same NONCE")


@case("8489-9.2.4-19", "RULE", "The integrity is checked before the nonce: wrong in both, a "
      "request is refused with 401, not 438.", new=True)
def integrity_before_nonce(bench):
    client = bench.client()
    client.challenge()
    forged = client.nonce[:-4] + bytes(reversed(client.nonce[-4:])) + b"0"
    refused(client.request(M.ALLOCATE, [TRANSPORT], nonce=forged, integrity=("bad-sha1",)), 401)


@case("8656-7.2-1", "MUST", "Allocate requests are authenticated.")
def allocate_needs_credentials(bench):
    response = bench.client().plain(M.ALLOCATE, [TRANSPORT])
    require(response.code == 401, f"{show(response)} without credentials")


@case("8656-21.1.3-1", "RULE", "Refresh, CreatePermission and ChannelBind of a living allocation "
      "are authenticated.")
def others_need_credentials(bench):
    client, peer = bench.allocation(), bench.peer()
    txid = b"no-password0"
    address = client.peer_attribute(peer.address, txid)
    number = (A.CHANNEL_NUMBER, stun.channel(0x4000))
    for method, attributes in ((M.REFRESH, [(A.LIFETIME, stun.u32(0))]),
                               (M.CREATE_PERMISSION, [address]),
                               (M.CHANNEL_BIND, [number, address])):
        response = client.plain(method, attributes, txid=txid)
        require(response.code == 401, f"{show(response)} to {method.name} without credentials")
    peer.send(b"uninvited", client.relayed[0])
    bench.nothing_back(client, "a permission without credentials")
    require(client.refresh().ok, "the allocation was deleted without credentials")


@case("8656-5-1", "MUST", "A request with other valid credentials than the allocation's is refused "
      "with 441: Refresh, CreatePermission, ChannelBind.")
def wrong_credentials(bench):
    client, peer = bench.allocation(), bench.peer()
    thief = bench.other_user(bench.name + "-thief")
    own = client.user, client.password
    client.user, client.password = thief
    seen = {"Refresh": client.refresh(0),
            "CreatePermission": client.with_peers(M.CREATE_PERMISSION, [peer.address]),
            "ChannelBind": client.ask_channel(0x4000, peer.address)}
    client.user, client.password = own
    bad = [f"{show(response)}" for response in seen.values() if response.code != 441]
    require(not bad, f"instead of 441: {'; '.join(bad)}")


@case("8656-5-2", "MUST", "A request with other credentials than the allocation's changes "
      "nothing.")
def thief_changes_nothing(bench):
    client, peer = bench.allocation(), bench.peer()
    own = client.user, client.password
    client.user, client.password = bench.other_user(bench.name + "-thief")
    client.refresh(0)
    client.with_peers(M.CREATE_PERMISSION, [peer.address])
    client.user, client.password = own
    require(client.refresh().ok, "the allocation is gone")
    peer.send(b"uninvited", client.relayed[0])
    bench.nothing_back(client, "a permission by somebody else")
