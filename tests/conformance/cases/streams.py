# SPDX-License-Identifier: ISC
"""TCP, TLS and DTLS between client and server (RFC 8489 section 6.2, RFC 8656 section 12.5)."""

import os
import ssl
import time

import link as links
import stun
import suite
from client import Failed, require, show
from stun import M

from .channels import bound, frame
from .data import ready

case = suite.group("streams", "TCP, TLS, DTLS")


def binding(link, seconds=3):
    data = stun.build(M.BINDING, stun.REQUEST)
    link.send(data)
    return link.wait(lambda item: getattr(item, "txid", None) == data[8:20], seconds)


def handshake(bench, **options):
    """A TLS link by a context made with these options; raises ssl.SSLError or OSError."""
    bench.applicable(bench.target.tls_port, "no TLS port of the server was given")
    host, _ = bench.server(min(bench.target.servers))
    link = links.TlsLink((host, bench.target.tls_port), None, bench.trace,
                         links.tls_context(**options))
    bench.stack.callback(link.close)
    return link


@case("8489-6.2.2-1", "SHOULD", "The server leaves the connection open after an answer.")
def stays_open(bench):
    link = bench.link("tcp")
    for _ in range(2):
        require(binding(link) is not None, "no answer on the second use of a connection")
        time.sleep(1)


@case("8489-6.2.2-2", "RULE", "Several requests may be sent before the first is answered; each "
      "gets its answer on that connection.")
def pipelined(bench):
    link = bench.link("tcp")
    requests = [stun.build(M.BINDING, stun.REQUEST) for _ in range(8)]
    link.send(b"".join(requests))
    for data in requests:
        require(link.wait(lambda item, t=data[8:20]: getattr(item, "txid", None) == t, 3),
                "one of eight requests in one segment was not answered")


def whole_life(bench, kind):
    client, peer = ready(bench, kind=kind)
    bench.exchange(client, peer)
    client.bind(0x4000, peer.address)
    client.channel(0x4000, b"odd")
    bench.arrives(peer, b"odd")
    peer.send(b"odd, too!", client.relayed[0])
    frame(client.receive_data(), 0x4000, b"odd, too!")
    require(client.refresh(0).ok, "the allocation cannot be deleted")
    client.relayed = []


@case("8656-5-20", "SHOULD", "Allocate, indications, channels and Refresh work over TCP.")
def over_tcp(bench):
    whole_life(bench, "tcp")


@case("8656-5-21", "SHOULD", "Allocate, indications, channels and Refresh work over TLS.")
def over_tls(bench):
    whole_life(bench, "tls")


@case("8656-5-22", "SHOULD", "Allocate, indications and Refresh work over DTLS.", new=True)
def over_dtls(bench):
    client, peer = ready(bench, kind="dtls")
    bench.exchange(client, peer)
    client.bind(0x4000, peer.address)
    client.channel(0x4000, b"odd")
    bench.arrives(peer, b"odd")
    require(client.refresh(0).ok, "the allocation cannot be deleted")
    client.relayed = []


def over_dtls_only(bench):
    link = bench.link("dtls")
    try:
        answer = binding(link)
    except links.Closed:
        answer = None
    bench.applicable(answer is not None, "the server does not speak DTLS")
    return link


@case("8489-11-1", "MUST", "A request without magic cookie over DTLS: 500.", new=True)
def old_request_over_dtls(bench):
    link, identity = over_dtls_only(bench), os.urandom(16)
    data = stun.build(M.BINDING, stun.REQUEST, (), identity[4:], cookie=identity[:4])
    link.send(data)
    answer = link.wait(lambda item: getattr(item, "txid", None) == identity[4:],
                       bench.timing.answer)
    require(answer is not None and answer.code == 500, f"{show(answer)} instead of 500")


@case("8489-11-2", "MUST", "An indication without magic cookie over DTLS is ignored.", new=True)
def old_indication_over_dtls(bench):
    link, identity = over_dtls_only(bench), os.urandom(16)
    link.send(stun.build(M.BINDING, stun.INDICATION, (), identity[4:], cookie=identity[:4]))
    bench.unheard(link, "an indication without magic cookie")


@case("8656-12.5-10", "MUST", "Over TLS, ChannelData of the server is padded to four bytes.")
def padded_over_tls(bench):
    client, peer = bound(bench, kind="tls")
    for size in (1, 2, 3, 4):
        peer.send(b"p" * size, client.relayed[0])
        item = frame(client.receive_data(), 0x4000, b"p" * size)
        require(len(item.raw) % 4 == 0, f"{item} in {len(item.raw)} bytes")


@case("8656-12.5-11", "RULE", "Messages and ChannelData that share segments, or are cut anywhere, "
      "keep their bounds.")
def any_cut(bench):
    client, peer = bound(bench, kind="tcp")
    parts = [stun.channel_data(0x4000, b"%d" % number * (number + 1), pad=True)
             for number in range(5)]
    request = client.form(M.REFRESH)
    stream = b"".join(parts[:3]) + request + b"".join(parts[3:])
    for at in range(0, len(stream), 7):
        client.link.send(stream[at:at + 7])
    for number in range(5):
        bench.arrives(peer, b"%d" % number * (number + 1), f"frame {number}")
    require(client.link.wait(lambda item: getattr(item, "txid", None) == request[8:20], 3),
            "the request between the frames was not answered")


@case("8656-12.5-12", "RULE", "Two connections of one client have allocations of their own.")
def two_connections(bench):
    one, two = bench.allocation(kind="tcp"), bench.allocation(kind="tcp")
    require(one.relayed != two.relayed, f"{one.relayed} twice")


def cipher(bench, name):
    try:
        usual = handshake(bench, highest=ssl.TLSVersion.TLSv1_2).sock.cipher()
    except (ssl.SSLError, OSError) as error:
        raise Failed(f"no TLS 1.2: {error}") from error
    bench.applicable("ECDSA" not in usual[0], "the server's certificate is not RSA")
    try:
        link = handshake(bench, highest=ssl.TLSVersion.TLSv1_2, ciphers=name)
    except (ssl.SSLError, OSError) as error:
        raise Failed(f"{name}: {error}") from error
    require(binding(link) is not None, f"no answer over {name}")


@case("8489-6.2.3-1", "MUST", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 is implemented.", new=True)
def ecdhe(bench):
    cipher(bench, "ECDHE-RSA-AES128-GCM-SHA256")


@case("8489-6.2.3-2", "MUST", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 is implemented.", new=True)
def dhe(bench):
    cipher(bench, "DHE-RSA-AES128-GCM-SHA256")


@case("8489-6.2.3-3", "MUST", "Cipher suites with forward secrecy are preferred to those "
      "without.", new=True)
def forward_secrecy(bench):
    try:
        link = handshake(bench, highest=ssl.TLSVersion.TLSv1_2,
                         ciphers="AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256")
    except (ssl.SSLError, OSError) as error:
        raise Failed(f"no handshake: {error}") from error
    require("DHE" in link.sock.cipher()[0], f"{link.sock.cipher()[0]} was chosen")


@case("8489-16-1", "MUST", "The recommendations of BCP 195 are followed: TLS 1.0 and 1.1 are "
      "refused (RFC 9325 section 3.1.1).", new=True)
def old_versions(bench):
    require(handshake(bench) is not None, "no TLS")
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        context = links.tls_context(ciphers="ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        host, _ = bench.server(min(bench.target.servers))
        try:
            links.TlsLink((host, bench.target.tls_port), None, bench.trace, context).close()
        except (ssl.SSLError, OSError):
            continue
        raise Failed(f"{version.name} was accepted")


@case("7443-3-1", "CARE", "A client that offers the ALPN protocol stun.turn is served.")
def alpn(bench):
    try:
        link = handshake(bench, alpn=["stun.turn"])
    except (ssl.SSLError, OSError) as error:
        raise Failed(f"handshake with ALPN stun.turn: {error}") from error
    require(binding(link) is not None, "no answer after ALPN")
    return f"selected: {link.sock.selected_alpn_protocol()}"
