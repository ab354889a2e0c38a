# SPDX-License-Identifier: ISC
"""STUN messages: header, classes, unknown attributes, Binding (RFC 8489 sections 5 to 7 and 12)."""

import os

import stun
import suite
from client import Client, require, show
from stun import A, M

case = suite.group("messages", "STUN messages and Binding")

UNKNOWN_REQUIRED, UNKNOWN_OPTIONAL = 0x7F31, 0xFF31  # assigned to nobody
TRANSPORT = (A.REQUESTED_TRANSPORT, stun.u8(stun.UDP))


def binding(bench, *attributes, kind="udp", family=None, **options):
    """(link, response or None) of a Binding request."""
    link = bench.link(kind, family)
    client = Client(link, ("", ""), bench.timing)
    data = stun.build(M.BINDING, stun.REQUEST, attributes, **options)
    return link, client.transact(data)


def good(response):
    require(response is not None and response.ok, f"{show(response)} to a Binding request")
    return response


def reflexive(bench, kind, family):
    link, response = binding(bench, kind=kind, family=family)
    mapped = good(response).address()
    require(mapped == link.local,
            f"XOR-MAPPED-ADDRESS {mapped}, the request came from {link.local}")
    require(link.answered_from == link.server, f"answered from {link.answered_from}")


@case("8489-5-1", "MUST", "A success response has the transaction id of its request.")
def success_keeps_the_id(bench):
    link, response = binding(bench)
    good(response)
    bench.unheard(link, "one request", fence=False)


@case("8489-5-2", "MUST", "An error response has the transaction id of its request.")
def error_keeps_the_id(bench):
    response = bench.client().plain(M.ALLOCATE, [TRANSPORT])
    require(response.klass == stun.ERROR, show(response))


@case("8489-5-3", "MUST", "The two first bits are zero, the magic cookie is 0x2112A442, the length "
      "is that of the message without its header and a multiple of four.")
def header_fields(bench):
    _, first = binding(bench)
    for response in (good(first), bench.client().plain(M.ALLOCATE, [TRANSPORT])):
        require(response.cookie == stun.COOKIE, f"cookie {response.cookie.hex()}")
        require(response.length == len(response.raw) - 20 and response.length % 4 == 0,
                f"length {response.length} of a message of {len(response.raw)} bytes")


@case("8489-6.2.1-1", "RULE", "Several transactions may be outstanding at once; each gets its "
      "answer.")
def ten_at_once(bench):
    link = bench.link()
    ids = [os.urandom(12) for _ in range(10)]
    for txid in ids:
        link.send(stun.build(M.BINDING, stun.REQUEST, txid=txid))
    for txid in ids:
        require(link.wait(lambda item, t=txid: getattr(item, "txid", None) == t,
                          bench.timing.answer), "one of ten requests was not answered")


def discarded(bench, data, what):
    link = bench.link()
    for _ in range(2):  # a datagram that was lost would pass
        link.send(data)
        bench.unheard(link, what)


@case("8489-6.3-1", "RULE", "A length that is no multiple of four is not sensible: the message is "
      "silently discarded.")
def odd_length(bench):
    data = stun.header(M.BINDING, stun.REQUEST, 3, os.urandom(12)) + b"abc"
    discarded(bench, data, "a length of 3")


@case("8489-6.3-2", "RULE", "A length beyond the datagram is not sensible: silently discarded.")
def length_beyond(bench):
    data = stun.header(M.BINDING, stun.REQUEST, 64, os.urandom(12)) + b"\0" * 8
    discarded(bench, data, "a length of 64 with 8 bytes")


@case("8489-6.3-3", "RULE", "A request with a method that the server does not support is silently "
      "discarded.")
def unknown_method(bench):
    discarded(bench, stun.build(0x0E5, stun.REQUEST), "the method 0x0e5")


@case("8489-6.3-4", "RULE", "A request of a method that only has indications (Send, Data) is "
      "silently discarded.")
def wrong_class_request(bench):
    for method in (M.SEND, M.DATA):
        discarded(bench, stun.build(method, stun.REQUEST), f"a {method.name} request")


@case("8489-6.3-5", "RULE", "An indication of a method that only has requests (Allocate, Refresh, "
      "CreatePermission, ChannelBind) is silently discarded.")
def wrong_class_indication(bench):
    for method in (M.ALLOCATE, M.REFRESH, M.CREATE_PERMISSION, M.CHANNEL_BIND):
        discarded(bench, stun.build(method, stun.INDICATION, [TRANSPORT]),
                  f"a {method.name} indication")


@case("8489-6.3-6", "RULE", "A response that belongs to no transaction is silently discarded.")
def stray_responses(bench):
    for klass in (stun.SUCCESS, stun.ERROR):
        discarded(bench, stun.build(M.BINDING, klass), f"a Binding {stun.CLASSES[klass]}")


@case("8489-6.3-7", "MUST", "Unknown comprehension-optional attributes are ignored.")
def unknown_optional(bench):
    _, response = binding(bench, (UNKNOWN_OPTIONAL, b"whatever"))
    good(response)
    bench.allocation((UNKNOWN_OPTIONAL, b"whatever"))


@case("8489-6.3-8", "SHOULD", "Known attributes that are not expected in a message are ignored.")
def known_but_unexpected(bench):
    _, response = binding(bench, (A.LIFETIME, stun.u32(600)), (A.SOFTWARE, b"conformance"))
    good(response)


@case("8489-6.3.1-1", "MUST", "An unknown comprehension-required attribute is refused with 420, "
      "and UNKNOWN-ATTRIBUTES lists it (sections 6.3.1.1 and 14.8).")
def unknown_required(bench):
    _, response = binding(bench, (UNKNOWN_REQUIRED, b"whatever"))
    require(response is not None and response.code == 420, f"{show(response)} instead of 420")
    listed = response.get(A.UNKNOWN_ATTRIBUTES) or b""
    require(listed == UNKNOWN_REQUIRED.to_bytes(2, "big"),
            f"UNKNOWN-ATTRIBUTES {listed.hex() or 'none'}")


@case("8489-6.3.1-2", "MUST", "With two unknown comprehension-required attributes, both are "
      "listed.")
def two_unknown_required(bench):
    _, response = binding(bench, (UNKNOWN_REQUIRED, b""), (UNKNOWN_REQUIRED + 1, b""))
    require(response is not None and response.code == 420, f"{show(response)} instead of 420")
    listed = response.get(A.UNKNOWN_ATTRIBUTES) or b""
    types = {int.from_bytes(listed[at:at + 2], "big") for at in range(0, len(listed), 2)}
    require(types == {UNKNOWN_REQUIRED, UNKNOWN_REQUIRED + 1}, f"UNKNOWN-ATTRIBUTES {listed.hex()}")


@case("8489-6.3.1-3", "MUST", "An unknown comprehension-required attribute in an authenticated "
      "Allocate request: 420 with the list.")
def unknown_required_in_allocate(bench):
    response = bench.client().expect(M.ALLOCATE, 420, [TRANSPORT, (UNKNOWN_REQUIRED, b"")])
    listed = response.get(A.UNKNOWN_ATTRIBUTES) or b""
    require(listed == UNKNOWN_REQUIRED.to_bytes(2, "big"),
            f"UNKNOWN-ATTRIBUTES {listed.hex() or 'none'}")


@case("8489-6.3.1-4", "RULE", "Authentication is checked before unknown attributes: without "
      "credentials the answer is 401, not 420 (section 6.3).")
def authentication_first(bench):
    response = bench.client().plain(M.ALLOCATE, [TRANSPORT, (UNKNOWN_REQUIRED, b"")])
    require(response.code == 401, f"{show(response)} instead of 401")


@case("8489-6.3.1-5", "MUST", "A retransmitted Binding request gets the same answer.")
def retransmission(bench):
    link = bench.link()
    client = Client(link, ("", ""), bench.timing)
    data = stun.build(M.BINDING, stun.REQUEST)
    first, second = good(client.transact(data)), good(client.transact(data))
    require(first.address() == second.address(), f"{first.address()}, then {second.address()}")


@case("8489-6.3.1.1-1", "MUST", "Every error response has an ERROR-CODE.")
def errors_have_codes(bench):
    client = bench.client()
    for response in (client.plain(M.ALLOCATE, [TRANSPORT]), client.request(M.REFRESH)):
        require(response.code, f"{show(response)}: no ERROR-CODE")


@case("8489-6.3.1.1-2", "RULE", "The method of a response is that of its request.")
def method_is_kept(bench):
    client = bench.client()
    for method in (M.ALLOCATE, M.REFRESH, M.CREATE_PERMISSION, M.CHANNEL_BIND):
        response = client.plain(method, [TRANSPORT])
        require(response.method == method, f"{show(response)} to {method.name}")


@case("8489-6.3.1.1-3", "RULE", "XOR-MAPPED-ADDRESS is the request's source, over UDP and IPv4; "
      "the answer comes from the address that was asked (section 6.3.1.2).")
def reflexive_udp(bench):
    reflexive(bench, "udp", 4)


@case("8489-6.3.1.1-4", "RULE", "XOR-MAPPED-ADDRESS is the request's source over IPv6, XORed with "
      "the transaction id, too (section 14.2).")
def reflexive_udp6(bench):
    reflexive(bench, "udp", 6)


@case("8489-6.3.1.1-5", "RULE", "XOR-MAPPED-ADDRESS is the request's source over TCP, on the "
      "connection of the request.")
def reflexive_tcp(bench):
    reflexive(bench, "tcp", 4)


@case("8489-6.3.1.1-6", "RULE", "XOR-MAPPED-ADDRESS is the request's source over TLS.")
def reflexive_tls(bench):
    reflexive(bench, "tls", 4)


@case("8489-6.3.1.1-7", "SHOULD", "The server adds SOFTWARE to its responses.")
def software(bench):
    _, response = binding(bench)
    require(good(response).has(A.SOFTWARE), "a Binding response without SOFTWARE")


@case("8489-6.3.2-1", "RULE", "No response is generated for an indication.")
def binding_indication(bench):
    discarded(bench, stun.build(M.BINDING, stun.INDICATION), "a Binding indication")


@case("8489-6.3.2-2", "RULE", "An indication with an unknown comprehension-required attribute is "
      "discarded without an answer.")
def unknown_in_indication(bench):
    discarded(bench, stun.build(M.BINDING, stun.INDICATION, [(UNKNOWN_REQUIRED, b"")]),
              "a Binding indication with an unknown attribute")


@case("8489-7-1", "RULE", "A request with a right FINGERPRINT is answered.")
def right_fingerprint(bench):
    _, response = binding(bench, fingerprint="right")
    good(response)


@case("8489-7-2", "RULE", "Where the FINGERPRINT extension is used (the server's own answers have "
      "it), a message with a wrong one is silently discarded (section 6.3).")
def wrong_fingerprint(bench):
    link, response = binding(bench, fingerprint="right")
    bench.applicable(good(response).has(A.FINGERPRINT), "the server does not use FINGERPRINT")
    link.send(stun.build(M.BINDING, stun.REQUEST, fingerprint="wrong"))
    bench.unheard(link, "a wrong FINGERPRINT")


@case("8489-12-1", "MUST", "A STUN server supports the Binding method over UDP.")
def binding_udp(bench):
    good(binding(bench)[1])


@case("8489-12-2", "MUST", "A STUN server supports TCP.")
def binding_tcp(bench):
    good(binding(bench, kind="tcp")[1])


@case("8489-12-3", "MUST", "A STUN server does not require FINGERPRINT.")
def fingerprint_not_required(bench):
    good(binding(bench, fingerprint=None)[1])


@case("8489-12-4", "SHOULD", "Binding requests are answered without credentials.")
def binding_without_credentials(bench):
    good(binding(bench)[1])


@case("8489-12-5", "RULE", "A message on TCP may come in pieces of any size.")
def dribbled(bench):
    link = bench.link("tcp")
    data = stun.build(M.BINDING, stun.REQUEST, [(A.SOFTWARE, b"slow one")])
    for byte in data:
        link.send(bytes([byte]))
    require(link.wait(lambda item: getattr(item, "txid", None) == data[8:20], bench.timing.answer),
            "a request in pieces of one byte was not answered")
