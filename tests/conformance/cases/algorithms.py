# SPDX-License-Identifier: ISC
"""What RFC 8489 added to long-term credentials: nonce cookie, password algorithms, USERHASH.

All of it is optional, and a server says by the nonce cookie what it has; without it these cases are
not applicable.
"""

import stun
import suite
from client import require, show
from stun import A, M

case = suite.group("algorithms", "Nonce cookie, password algorithms, USERHASH")

TRANSPORT = (A.REQUESTED_TRANSPORT, stun.u8(stun.UDP))
NO_COOKIE = "the nonce has no cookie: the server does not say that it supports RFC 8489"


def challenged(bench, cookie=True):
    client = bench.client()
    client.challenge()
    bench.applicable(not cookie or client.features is not None, NO_COOKIE)
    return client


def with_algorithms(bench):
    client = challenged(bench)
    bench.applicable(client.features[0], "the server does not offer password algorithms")
    return client


def listed(client):
    """The algorithm numbers of PASSWORD-ALGORITHMS."""
    value, numbers = client.algorithms, []
    while value:
        numbers.append(int.from_bytes(value[:2], "big"))
        size = int.from_bytes(value[2:4], "big")
        value = value[4 + size + -size % 4:]
    return numbers


def allocate(client, **options):
    response = client.request(M.ALLOCATE, [TRANSPORT], **options)
    if response.ok:
        client.keep(response)
    return response


def best(client, **options):
    """As a client of RFC 8489 with SHA-256 does it."""
    return {"algorithms": client.algorithms, "algorithm": stun.SHA256, "integrity": ("sha256",),
            **options}


@case("8489-9.2-1", "MUST", "To say that it supports RFC 8489, the server begins the NONCE with "
      "'obMatJos2' and four characters of base64.", new=True)
def cookie(bench):
    client = challenged(bench)
    return f"NONCE {client.nonce[:13].decode()}, features {client.features}"


@case("8489-9.2.4-30", "MUST", "PASSWORD-ALGORITHMS in the challenge, if and only if the bit "
      "'Password algorithms' is set.", new=True)
def algorithms_and_bit(bench):
    client = challenged(bench, cookie=False)
    bench.applicable(client.features or client.algorithms, NO_COOKIE)
    offered = bool(client.features and client.features[0])
    require(offered == (client.algorithms is not None),
            f"bit {offered}, PASSWORD-ALGORITHMS {client.algorithms and client.algorithms.hex()}")


@case("8489-9.2.4-31", "MUST", "With neither PASSWORD-ALGORITHMS nor PASSWORD-ALGORITHM, a request "
      "is taken as MD5, and the answer has MESSAGE-INTEGRITY.", new=True)
def md5_by_default(bench):
    client = with_algorithms(bench)
    response = allocate(client)
    require(response.ok and response.integrity(client.key()) and
            not response.has(A.MESSAGE_INTEGRITY_SHA256), show(response))


@case("8489-9.2.4-32", "MUST", "PASSWORD-ALGORITHM without PASSWORD-ALGORITHMS is refused with "
      "400.", new=True)
def algorithm_alone(bench):
    client = with_algorithms(bench)
    response = allocate(client, **best(client, algorithms=None))
    require(response.code == 400, f"{show(response)} instead of 400")


@case("8489-9.2.4-33", "MUST", "PASSWORD-ALGORITHMS without PASSWORD-ALGORITHM is refused with "
      "400.", new=True)
def algorithms_alone(bench):
    client = with_algorithms(bench)
    response = allocate(client, algorithms=client.algorithms)
    require(response.code == 400, f"{show(response)} instead of 400")


@case("8489-9.2.4-34", "MUST", "PASSWORD-ALGORITHMS that are not those sent with the nonce are "
      "refused with 400 (bid-down).", new=True)
def bid_down(bench):
    client = with_algorithms(bench)
    fewer = stun.algorithm(stun.MD5)
    require(client.algorithms != fewer, "the server offers MD5 only")
    response = allocate(client, algorithms=fewer, algorithm=stun.MD5, integrity=("sha256",))
    require(response.code == 400, f"{show(response)} instead of 400")


@case("8489-9.2.4-35", "MUST", "A PASSWORD-ALGORITHM that is not in the list is refused with "
      "400.", new=True)
def unlisted_algorithm(bench):
    client = with_algorithms(bench)
    response = allocate(client, **best(client, algorithm=0x0777, which=stun.SHA256))
    require(response.code == 400, f"{show(response)} instead of 400")


@case("8489-9.2.4-36", "MUST", "With SHA-256 and MESSAGE-INTEGRITY-SHA256, the answer has "
      "MESSAGE-INTEGRITY-SHA256 by that key.", new=True)
def sha256(bench):
    client = with_algorithms(bench)
    bench.applicable(stun.SHA256 in listed(client), f"the server offers {listed(client)}")
    response = allocate(client, **best(client))
    require(response.ok, f"{show(response)} instead of success")
    require(response.integrity(client.key(stun.SHA256), A.MESSAGE_INTEGRITY_SHA256),
            f"{show(response)}: no right MESSAGE-INTEGRITY-SHA256")


@case("8489-9.2.4-37", "MUST", "With PASSWORD-ALGORITHM MD5, the answer has "
      "MESSAGE-INTEGRITY-SHA256, too.", new=True)
def md5_by_name(bench):
    client = with_algorithms(bench)
    bench.applicable(stun.MD5 in listed(client), f"the server offers {listed(client)}")
    response = allocate(client, **best(client, algorithm=stun.MD5))
    require(response.ok, f"{show(response)} instead of success")
    require(response.integrity(client.key(), A.MESSAGE_INTEGRITY_SHA256),
            f"{show(response)}: no right MESSAGE-INTEGRITY-SHA256")


@case("8489-9.2.4-38", "RULE", "MESSAGE-INTEGRITY-SHA256 counts where it is present: wrong beside "
      "a right MESSAGE-INTEGRITY, it is refused with 401.", new=True)
def wrong_sha256(bench):
    client = with_algorithms(bench)
    response = allocate(client, **best(client, integrity=("sha1", "bad-sha256")))
    require(response.code == 401, f"{show(response)} instead of 401")


@case("8489-9.2.4-39", "RULE", "MESSAGE-INTEGRITY-SHA256 is enough where it is right, beside a "
      "wrong MESSAGE-INTEGRITY.", new=True)
def right_sha256(bench):
    client = with_algorithms(bench)
    response = allocate(client, **best(client, integrity=("bad-sha1", "sha256")))
    require(response.ok, f"{show(response)} instead of success")


@case("8489-9.2.4-40", "MUST", "401 (wrong user) and 438 have PASSWORD-ALGORITHMS.", new=True)
def algorithms_in_errors(bench):
    client = with_algorithms(bench)
    responses = [client.request(M.ALLOCATE, [TRANSPORT], user="nobody-knows-me"),
                 client.request(M.ALLOCATE, [TRANSPORT], nonce=client.nonce[:13] + b"0123456789")]
    for response, code in zip(responses, (401, 438)):
        require(response.code == code, f"{show(response)} instead of {code}")
        require(response.has(A.PASSWORD_ALGORITHMS), f"{show(response)}: no PASSWORD-ALGORITHMS")


@case("8489-9.2.4-41", "RULE", "Refresh and CreatePermission go on with the same algorithm and "
      "nonce, and are answered with MESSAGE-INTEGRITY-SHA256.", new=True)
def all_methods(bench):
    client, peer = with_algorithms(bench), bench.peer()
    bench.applicable(stun.SHA256 in listed(client), f"the server offers {listed(client)}")
    require(allocate(client, **best(client)).ok, "Allocate failed")
    for response in (client.request(M.REFRESH, **best(client)),
                     client.with_peers(M.CREATE_PERMISSION, [peer.address], **best(client))):
        require(response.ok and response.integrity(client.key(stun.SHA256),
                                                   A.MESSAGE_INTEGRITY_SHA256), show(response))


@case("8489-9.2.4-42", "RULE", "A nonce with the bits of the cookie cleared is not valid: 438, 401 "
      "or 400, but no success (section 9.2.1).", new=True)
def cleared_bits(bench):
    client = with_algorithms(bench)
    forged = b"obMatJos2AAAA" + client.nonce[13:]
    response = allocate(client, nonce=forged)
    require(response.code in (400, 401, 438), f"{show(response)} with a nonce cookie without bits")


@case("8489-14.6-1", "RULE", "MESSAGE-INTEGRITY-SHA256 has 32 bytes, because TURN allows no "
      "truncation: one of 16 is refused.", new=True)
def truncated_sha256(bench):
    client = with_algorithms(bench)
    response = client.transact(client.form(
        M.ALLOCATE, [TRANSPORT], **best(client, integrity=("sha256-16",))))
    if response is not None and response.ok:
        client.keep(response)
    require(response is None or response.code in (400, 401),
            f"{show(response)} instead of a refusal")


@case("8489-9-5", "MUST", "What follows MESSAGE-INTEGRITY-SHA256, where there is no "
      "MESSAGE-INTEGRITY, is ignored: LIFETIME 0 there does not delete the allocation.", new=True)
def after_sha256(bench):
    client = with_algorithms(bench)
    require(allocate(client, **best(client)).ok, "Allocate failed")
    response = client.request(M.REFRESH, **best(client, after=[(A.LIFETIME, stun.u32(0))]))
    require(response.ok, f"{show(response)} to Refresh")
    response = client.request(M.REFRESH, **best(client))
    require(response.ok, f"{show(response)} to the next Refresh: LIFETIME 0 was obeyed")


def offers_anonymity(bench):
    client = challenged(bench)
    bench.applicable(client.features[1], "the server does not offer username anonymity")
    return client


def anonymous(bench):
    client = offers_anonymity(bench)
    bench.applicable(bench.target.user and not bench.target.secret,
                     "USERHASH needs a user that the server lists: --user")
    return client


@case("8489-9.2.4-43", "MUST", "Where 'Username anonymity' is offered, USERHASH is as good as "
      "USERNAME.", new=True)
def userhash(bench):
    client = anonymous(bench)
    response = allocate(client, userhash=True)
    require(response.ok, f"{show(response)} instead of success")


@case("8489-9.2.4-44", "MUST", "A USERHASH that is not valid is refused with 401, REALM and "
      "NONCE.", new=True)
def wrong_userhash(bench):
    client = offers_anonymity(bench)
    response = client.request(M.ALLOCATE, [TRANSPORT], userhash=True, user="nobody-knows-me")
    require(response.code == 401 and response.has(A.REALM) and response.has(A.NONCE),
            f"{show(response)} instead of 401 with REALM and NONCE")
