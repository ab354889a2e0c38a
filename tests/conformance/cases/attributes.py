# SPDX-License-Identifier: ISC
"""Attributes: padding, duplicates, what follows the integrity (RFC 8489 sections 9 and 14)."""

import re

import stun
import suite
from client import require, show
from stun import A, M

case = suite.group("attributes", "Attributes")

TRANSPORT = (A.REQUESTED_TRANSPORT, stun.u8(stun.UDP))
# Unquoted contents of a quoted-string (RFC 3261 section 25.1): qdtext or quoted-pair.
QUOTED = re.compile(r'(?:[\t !\x23-\x5b\x5d-\x7e\x80-\U0010ffff]|\\[\0-\x09\x0b\x0c\x0e-\x7f])*')


def text(value, what, most=127):
    try:
        decoded = value.decode()
    except UnicodeDecodeError:
        decoded = None
    require(decoded is not None and len(decoded) <= most, f"{what} {value!r}")
    return decoded


@case("8489-14-1", "MUST", "Padding is zero when it is sent.")
def padding_is_zero(bench):
    client = bench.client()
    seen = [client.challenge()]
    client.allocate()
    seen.append(client.refresh())
    seen.append(client.request(M.CREATE_PERMISSION))
    for response in seen:
        require(response.paddings(), f"{show(response)} has padding that is not zero")


@case("8489-14-2", "MUST", "Padding is ignored when it is received.")
def padding_is_ignored(bench):
    client = bench.client()
    client.challenge()
    response = client.request(M.ALLOCATE, [TRANSPORT, (A.SOFTWARE, b"x")], padding=b"\xa5")
    require(response.ok, f"{show(response)} to a request with padding 0xa5")
    client.keep(response)


@case("8489-14-3", "RULE", "Of an attribute that appears twice, the first counts: LIFETIME 1000, "
      "then 0, does not delete the allocation.")
def first_one_counts(bench):
    client = bench.allocation()
    client.succeed(M.REFRESH, [(A.LIFETIME, stun.u32(1000)), (A.LIFETIME, stun.u32(0))])
    response = client.refresh()
    require(response.ok, f"{show(response)} to the next Refresh: the second LIFETIME counted")


@case("8489-9-1", "MUST", "What follows MESSAGE-INTEGRITY is ignored: LIFETIME 0 there does not "
      "delete the allocation.")
def lifetime_after_integrity(bench):
    client = bench.allocation()
    client.succeed(M.REFRESH, after=[(A.LIFETIME, stun.u32(0))])
    response = client.refresh()
    require(response.ok, f"{show(response)} to the next Refresh: LIFETIME 0 was obeyed")


@case("8489-9-2", "MUST", "XOR-PEER-ADDRESS after MESSAGE-INTEGRITY installs no permission.")
def peer_after_integrity(bench):
    client, peer = bench.allocation(), bench.peer()
    txid = b"after-MI-000"
    address = client.peer_attribute(peer.address, txid)
    client.request(M.CREATE_PERMISSION, txid=txid, after=[address])
    peer.send(b"uninvited", client.relayed[0])
    bench.nothing_back(client, "a permission from outside the integrity")


@case("8489-9-3", "MUST", "An unknown comprehension-required attribute after MESSAGE-INTEGRITY is "
      "ignored.")
def unknown_after_integrity(bench):
    client = bench.client()
    response = client.request(M.ALLOCATE, [TRANSPORT], after=[(0x7F31, b"")])
    require(response.ok, f"{show(response)} instead of success")
    client.keep(response)


@case("8489-9-4", "MUST", "FINGERPRINT after MESSAGE-INTEGRITY is no hindrance.")
def fingerprint_after_integrity(bench):
    bench.allocation(fingerprint="right")


@case("8489-14.1-1", "MUST", "The first byte of an address attribute is ignored.")
def first_byte_of_addresses(bench):
    client, peer = bench.allocation(), bench.peer()
    txid = b"first-byte-0"
    client.succeed(M.CREATE_PERMISSION,
                   [client.peer_attribute(peer.address, txid, first=0xFF)], txid=txid)
    bench.exchange(client, peer)


@case("8489-14.1-2", "MUST", "The first byte of an address attribute is zero when it is sent.")
def first_byte_is_zero(bench):
    response = bench.client().allocate()
    for kind in (A.XOR_MAPPED_ADDRESS, A.XOR_RELAYED_ADDRESS):
        value = response.get(kind)
        require(value and value[0] == 0, f"{kind.name} {value and value.hex()}")


@case("8489-14.3-1", "MUST", "A USERNAME of 763 bytes can be parsed.")
def long_username(bench):
    user, password = bench.target.credentials("long")
    user += ":" + "u" * (763 - len(user) - 1)
    client = bench.client(credentials=(user, password))
    response = client.request(M.ALLOCATE, [TRANSPORT])
    require(response.ok or response.code in (401, 486),
            f"{show(response)} to a USERNAME of 763 bytes")


@case("8489-14.7-1", "MUST", "FINGERPRINT, where it is sent, comes last and is right.")
def own_fingerprint(bench):
    client = bench.client()
    seen = [client.plain(M.BINDING, fingerprint="right"), client.challenge()]
    seen.append(client.allocate(fingerprint="right"))
    bench.applicable(any(message.has(A.FINGERPRINT) for message in seen),
                     "the server does not use FINGERPRINT")
    for message in seen:
        require(message.fingerprint() is not False, f"{show(message)}: FINGERPRINT is wrong")


@case("8489-14.8-1", "MUST", "The class of an error code is 3 to 6, its number 0 to 99, its reason "
      "phrase fewer than 128 characters of UTF-8.")
def error_codes(bench):
    client = bench.client()
    for response in (client.challenge(), client.request(M.REFRESH)):
        value = response.get(A.ERROR_CODE)
        require(len(value) >= 4 and 3 <= value[2] & 7 <= 6 and value[3] <= 99,
                f"ERROR-CODE {value.hex()}")
        text(value[4:], "reason phrase")


@case("8489-14.8-2", "SHOULD", "The reserved bits of ERROR-CODE are zero.")
def error_code_reserved(bench):
    value = bench.client().challenge().get(A.ERROR_CODE)
    require(value[:2] == b"\0\0" and not value[2] & 0xF8, f"ERROR-CODE {value.hex()}")


@case("8489-14.9-1", "MUST", "REALM is a quoted-string without its quotes, fewer than 128 "
      "characters of UTF-8.")
def realm_grammar(bench):
    realm = text(bench.client().challenge().get(A.REALM), "REALM")
    require(realm and QUOTED.fullmatch(realm), f"REALM {realm!r}")
    require(bench.target.realm in (None, realm), f"REALM {realm!r}, not {bench.target.realm!r}")


@case("8489-14.10-1", "MUST", "NONCE is a quoted-string without its quotes, fewer than 128 "
      "characters.")
def nonce_grammar(bench):
    nonce = text(bench.client().challenge().get(A.NONCE), "NONCE")
    require(nonce and QUOTED.fullmatch(nonce), f"NONCE {nonce!r}")


@case("8489-14.14-1", "MUST", "SOFTWARE is fewer than 128 characters of UTF-8.")
def software_text(bench):
    client = bench.client()
    values = [message.get(A.SOFTWARE) for message in (client.plain(M.BINDING), client.allocate())]
    bench.applicable(any(values), "the server sends no SOFTWARE")
    for value in filter(None, values):
        text(value, "SOFTWARE")
