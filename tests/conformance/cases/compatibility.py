# SPDX-License-Identifier: ISC
"""Older clients, and TURN REST credentials."""

import base64
import hmac
import os

import stun
import suite
from client import require, show
from stun import A, M

case = suite.group("compatibility", "Older clients, TURN REST")

TRANSPORT = (A.REQUESTED_TRANSPORT, stun.u8(stun.UDP))
CHANGE_REQUEST = 0x0003


def old_binding(bench, attributes=(), klass=stun.REQUEST):
    """The answer to a request of RFC 3489: 16 bytes of transaction id, no cookie."""
    link, identity = bench.link(), os.urandom(16)
    while identity[:4] == stun.COOKIE:
        identity = os.urandom(16)
    data = stun.build(M.BINDING, klass, attributes, identity[4:], cookie=identity[:4])
    link.send(data)
    response = link.wait(lambda item: getattr(item, "txid", None) == identity[4:],
                         bench.timing.answer / 3)
    return link, identity, response


@case("5389-12.2-1", "SHOULD", "A request of RFC 3489 gets its first four bytes back, and "
      "MAPPED-ADDRESS instead of XOR-MAPPED-ADDRESS (RFC 8489 section 12).")
def rfc3489(bench):
    link, identity, response = old_binding(bench)
    require(response is not None and response.ok, f"{show(response)} to a request of RFC 3489")
    require(response.cookie == identity[:4], f"cookie {response.cookie.hex()}")
    require(response.address(A.MAPPED_ADDRESS) == link.local, show(response))


@case("5389-12.2-2", "RULE", "With CHANGE-REQUEST it gets an error response, unless the server "
      "does change address or port (RFC 5780).")
def change_request(bench):
    _, _, response = old_binding(bench)
    bench.applicable(response is not None, "the server does not answer requests of RFC 3489")
    link, _, response = old_binding(bench, [(CHANGE_REQUEST, stun.u32(6))])
    if response is not None and response.ok:
        require(link.answered_from != link.server, f"{show(response)} from the same address")
        return f"answered from {link.answered_from}"
    require(response is not None and response.code, f"{show(response)} instead of an error")
    return show(response)


@case("5766-2.2-1", "RULE", "A client of RFC 5389 and 5766 (MD5, SHA-1, no algorithms) gets its "
      "allocation.")
def rfc5766(bench):
    client = bench.client()
    client.allocate((A.LIFETIME, stun.u32(600)), (A.SOFTWARE, b"old client"), fingerprint="right")
    peer = bench.peer()
    client.permit(peer.address)
    bench.exchange(client, peer)


@case("5766-6.2-1", "RULE", "The first Allocate request may be without any attribute: 401, not 400 "
      "(authentication comes first).")
def bare_allocate(bench):
    response = bench.client().plain(M.ALLOCATE)
    require(response.code == 401, f"{show(response)} instead of 401")


@case("rest-1", "RULE", "TURN REST: a username of an expiry time and a name is good.")
def rest(bench):
    bench.other_user("probe")
    bench.allocation()


@case("rest-2", "RULE", "TURN REST: a username whose time is over is refused with 401.")
def rest_expired(bench):
    bench.other_user("probe")
    client = bench.client(credentials=bench.target.credentials("late", lifetime=-100000))
    response = client.request(M.ALLOCATE, [TRANSPORT])
    require(response.code == 401, f"{show(response)} instead of 401")


@case("rest-3", "RULE", "TURN REST: a username that is only a time is good.")
def rest_bare(bench):
    bench.other_user("probe")
    bench.applicable(not bench.target.rest_host, "ejabberd's usernames have a name always")
    user, _ = bench.target.credentials("x")
    expiry = user.partition(":")[0]
    digest = hmac.new(bench.target.secret.encode(), expiry.encode(), "sha1").digest()
    client = bench.client(credentials=(expiry, base64.b64encode(digest).decode()))
    client.allocate()


@case("rest-4", "RULE", "TURN REST: the password of one username is not good for another.")
def rest_mixed(bench):
    user, _ = bench.other_user("one")
    _, password = bench.other_user("two")
    response = bench.client(credentials=(user, password)).request(M.ALLOCATE, [TRANSPORT])
    require(response.code == 401, f"{show(response)} instead of 401")
