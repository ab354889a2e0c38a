# SPDX-License-Identifier: ISC
"""TCP allocations (RFC 6062): optional; a server without them refuses the transport."""

import contextlib
import os
import socket

import stun
import suite
from client import require, show
from stun import A, M

case = suite.group("tcp-allocations", "TCP allocations (RFC 6062, optional)")

OVER_TCP = (A.REQUESTED_TRANSPORT, stun.u8(stun.TCP))


class Listener:
    """A TCP peer."""

    def __init__(self, bench, number=0):
        hosts = bench.target.peers[4]
        bench.applicable(len(hosts) > number, f"needs {number + 1} IPv4 peer address(es)")
        self.bench = bench
        self.sock = socket.create_server((hosts[number], 0))
        self.sock.settimeout(bench.timing.answer)
        bench.stack.callback(self.sock.close)

    @property
    def address(self):
        return self.sock.getsockname()

    def accept(self):
        connection, source = self.sock.accept()
        connection.settimeout(self.bench.timing.answer)
        self.bench.stack.callback(connection.close)
        return connection, source


def supported(bench):
    """A client on TCP that has asked for a TCP allocation, and the response."""
    client = bench.client("tcp")
    response = client.request(M.ALLOCATE, [OVER_TCP])
    bench.applicable(response.ok, f"no TCP allocations: {show(response)}")
    client.keep(response)
    return client


def connect(client, address):
    return client.with_peers(M.CONNECT, [address])


def connected(bench, client, listener):
    """(connection id, the peer's socket)."""
    response = connect(client, listener.address)
    require(response.ok, f"{show(response)} to Connect")
    number = response.get(A.CONNECTION_ID)
    require(number is not None and len(number) == 4, f"{show(response)}: no CONNECTION-ID")
    return number, listener.accept()[0]


def bind(bench, client, number, kind="tcp"):
    """A data connection, and the response to its ConnectionBind."""
    data = bench.client(kind, credentials=(client.user, client.password))
    data.realm, data.nonce = client.realm, client.nonce  # RFC 8489 section 9.2.3.2
    response = data.request(M.CONNECTION_BIND, [(A.CONNECTION_ID, number)])
    if response.code == 401:
        data.learn(response)
        response = data.request(M.CONNECTION_BIND, [(A.CONNECTION_ID, number)])
    return data.link, response


def read(link, size, seconds):
    """Exactly so many bytes of a data connection, or what came."""
    got = b""
    while len(got) < size:
        piece = link.raw(seconds)
        if not piece:
            break
        got += piece
    return got


def incoming(bench, client, host):
    """A peer that connects to the relayed address."""
    peer = socket.socket()
    peer.settimeout(bench.timing.answer)
    bench.stack.callback(peer.close)
    peer.bind((host, 0))
    peer.connect(client.relayed[0])
    return peer


def attempt(bench, client):
    return client.link.wait(lambda item: getattr(item, "method", None) == M.CONNECTION_ATTEMPT,
                            bench.timing.answer)


@case("6062-5.1-1", "MUST", "A transport other than UDP or TCP: 442.")
def other_transport(bench):
    supported(bench)
    bench.client("tcp").expect(M.ALLOCATE, 442, [(A.REQUESTED_TRANSPORT, stun.u8(132))])


@case("6062-5.1-2", "MUST", "A TCP allocation over UDP: 400.")
def over_udp(bench):
    supported(bench)
    bench.client("udp").expect(M.ALLOCATE, 400, [OVER_TCP])


@case("6062-5.1-3", "MUST", "With DONT-FRAGMENT, EVEN-PORT or RESERVATION-TOKEN: 400.")
def unsuitable(bench):
    supported(bench)
    for extra in ((A.DONT_FRAGMENT, b""), (A.EVEN_PORT, b"\0"),
                  (A.RESERVATION_TOKEN, os.urandom(8))):
        bench.client("tcp").expect(M.ALLOCATE, 400, [OVER_TCP, extra])


@case("6062-5.1-4", "MUST", "The relayed address accepts TCP connections; no RESERVATION-TOKEN is "
      "given.")
def listens(bench):
    client = supported(bench)
    with contextlib.suppress(ConnectionResetError):  # accepted, then closed: no permission
        socket.create_connection(client.relayed[0], bench.timing.answer).close()


@case("6062-5.2-1", "MUST", "Connect without an allocation: 437.")
def no_allocation(bench):
    supported(bench)
    response = connect(bench.client("tcp"), Listener(bench).address)
    require(response.code == 437, f"{show(response)} instead of 437")


@case("6062-5.2-2", "MUST", "Connect without XOR-PEER-ADDRESS: 400.")
def no_address(bench):
    supported(bench).expect(M.CONNECT, 400)


@case("6062-5.2-3", "MUST", "Connect succeeds with CONNECTION-ID; the peer sees the relayed "
      "address.")
def outgoing(bench):
    client, listener = supported(bench), Listener(bench)
    response = connect(client, listener.address)
    require(response.ok and response.has(A.CONNECTION_ID), show(response))
    source = listener.accept()[1]
    require(source == client.relayed[0], f"from {source}, not {client.relayed[0]}")


@case("6062-5.2-4", "MUST", "Connect to the same peer again: 446.")
def twice(bench):
    client, listener = supported(bench), Listener(bench)
    connected(bench, client, listener)
    response = connect(client, listener.address)
    require(response.code == 446, f"{show(response)} instead of 446")


@case("6062-5.2-5", "MUST", "Connect to a port that nobody listens on: 447.")
def refused(bench):
    client, listener = supported(bench), Listener(bench)
    address = listener.address
    listener.sock.close()
    response = connect(client, address)
    require(response.code == 447, f"{show(response)} instead of 447")


@case("6062-5.2-6", "MUST", "Connection ids are unique.")
def unique_ids(bench):
    client = supported(bench)
    ids = [connected(bench, client, Listener(bench))[0] for _ in range(4)]
    require(len(set(ids)) == 4, f"{[number.hex() for number in ids]}")


@case("6062-5.3-1", "MUST", "A connection of a peer with a permission is announced by "
      "ConnectionAttempt with XOR-PEER-ADDRESS and CONNECTION-ID.")
def announced(bench):
    client, listener = supported(bench), Listener(bench)
    client.permit(listener.address)
    peer = incoming(bench, client, listener.address[0])
    item = attempt(bench, client)
    require(item is not None, "no ConnectionAttempt")
    require(item.klass == stun.INDICATION and item.has(A.CONNECTION_ID)
            and item.address(A.XOR_PEER_ADDRESS) == peer.getsockname(), show(item))


@case("6062-5.3-2", "MUST", "A connection of a peer without a permission is closed at once.")
def uninvited(bench):
    client, listener = supported(bench), Listener(bench)
    with contextlib.suppress(ConnectionResetError):
        peer = incoming(bench, client, listener.address[0])
        require(peer.recv(1) == b"", "the connection stays open")
    require(client.link.drain(bench.timing.quiet) == [], "it was announced")


@case("6062-5.4-1", "MUST", "ConnectionBind over UDP: 400.")
def bind_over_udp(bench):
    client, listener = supported(bench), Listener(bench)
    number, _ = connected(bench, client, listener)
    _, response = bind(bench, client, number, kind="udp")
    require(response.code == 400, f"{show(response)} instead of 400")


@case("6062-5.4-2", "MUST", "ConnectionBind without CONNECTION-ID, or with an unknown one: 400.")
def bind_unknown(bench):
    client = supported(bench)
    _, response = bind(bench, client, os.urandom(4))
    require(response.code == 400, f"{show(response)} to an unknown CONNECTION-ID instead of 400")
    data = bench.client("tcp", credentials=(client.user, client.password))
    data.realm, data.nonce = client.realm, client.nonce
    data.expect(M.CONNECTION_BIND, 400)


@case("6062-5.4-3", "MUST", "After ConnectionBind, bytes pass both ways as they are.")
def as_is(bench):
    client, listener = supported(bench), Listener(bench)
    number, peer = connected(bench, client, listener)
    link, response = bind(bench, client, number)
    require(response.ok, f"{show(response)} to ConnectionBind")
    data = os.urandom(50001)
    link.send(data)
    got = b""
    while len(got) < len(data) and (piece := peer.recv(65536)):
        got += piece
    require(got == data, f"the peer got {len(got)} bytes, or others")
    peer.sendall(data)
    got = read(link, len(data), bench.timing.answer)
    require(got == data, f"the client got {len(got)} bytes, or others")


@case("6062-5.4-4", "MUST", "What the peer sent before ConnectionBind is not lost.")
def early(bench):
    client, listener = supported(bench), Listener(bench)
    number, peer = connected(bench, client, listener)
    peer.sendall(b"early bird")
    link, response = bind(bench, client, number)
    require(response.ok, f"{show(response)} to ConnectionBind")
    got = read(link, 10, bench.timing.answer)
    require(got == b"early bird", f"the client got {got!r}")


@case("6062-5.4-5", "MUST", "What a peer that connected itself sent before ConnectionBind is not "
      "lost.")
def early_incoming(bench):
    client, listener = supported(bench), Listener(bench)
    client.permit(listener.address)
    peer = incoming(bench, client, listener.address[0])
    peer.sendall(b"early bird")
    item = attempt(bench, client)
    require(item is not None, "no ConnectionAttempt")
    link, response = bind(bench, client, item.get(A.CONNECTION_ID))
    require(response.ok, f"{show(response)} to ConnectionBind")
    got = read(link, 10, bench.timing.answer)
    require(got == b"early bird", f"the client got {got!r}")


def closes(sock):
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


@case("6062-5.5-1", "MUST", "When the client's data connection closes, so does the peer's.")
def client_closes(bench):
    client, listener = supported(bench), Listener(bench)
    number, peer = connected(bench, client, listener)
    link, response = bind(bench, client, number)
    require(response.ok, f"{show(response)} to ConnectionBind")
    link.close()
    require(closes(peer), "the peer's connection stays open")


@case("6062-5.5-2", "MUST", "When the peer's connection closes, so does the client's.")
def peer_closes(bench):
    client, listener = supported(bench), Listener(bench)
    number, peer = connected(bench, client, listener)
    link, response = bind(bench, client, number)
    require(response.ok, f"{show(response)} to ConnectionBind")
    peer.close()
    require(link.raw(bench.timing.answer) == b"", "the client's data connection stays open")


@case("6062-5.5-3", "MUST", "When the allocation ends, so do its data connections.")
def allocation_ends(bench):
    client, listener = supported(bench), Listener(bench)
    number, peer = connected(bench, client, listener)
    link, response = bind(bench, client, number)
    require(response.ok, f"{show(response)} to ConnectionBind")
    client.refresh(0)
    client.relayed = []
    require(link.raw(bench.timing.answer) == b"" and closes(peer), "they stay open")


@case("6062-5.2-7", "MUST", "Without ConnectionBind the peer's connection is closed after 30 "
      "seconds.", slow=True)
def unbound(bench):
    client, listener = supported(bench), Listener(bench)
    _, peer = connected(bench, client, listener)
    peer.settimeout(45)
    require(closes(peer), "the peer's connection is open after 45 s")
