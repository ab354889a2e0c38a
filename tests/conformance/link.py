# SPDX-License-Identifier: ISC
"""How a client reaches the server: UDP, TCP or TLS, message by message.

send() takes any bytes; receive() gives Message, ChannelData or, for what is neither, Junk. Every
link notes what passed, so that a failure can show its bytes.
"""

import collections
import errno
import itertools
import os
import random
import select
import socket
import ssl
import subprocess
import threading
import time

import stun

SNAPSHOT = 65536


class Closed(Exception):
    """The server closed the connection."""


PORTS = itertools.cycle(range(20000, 48000))
PORTS_LOCK = threading.Lock()
for _ in range(random.randrange(28000)):
    next(PORTS)


def _bind_fresh(sock, host):
    """To a port that no case before has had: what a server may still remember of an earlier client
    must not be taken for its answer to this one."""
    while True:
        with PORTS_LOCK:
            port = next(PORTS)
        try:
            sock.bind((host, port))
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise


class Junk:
    def __init__(self, data, why):
        self.raw = bytes(data)
        self.why = why

    def __str__(self):
        return f"{len(self.raw)} bytes that are no message ({self.why})"

    describe = __str__


def parse(data):
    try:
        return stun.parse(data)
    except stun.Malformed as error:
        return Junk(data, str(error))


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class Link:
    reliable = False
    secure = False

    def __init__(self, sock, trace):
        self.sock = sock
        self.trace = trace
        self.inbox = collections.deque()  # what came while something else was awaited

    @property
    def local(self):
        return self.sock.getsockname()[:2]

    def _note(self, way, data):
        self.trace.append((way, self.kind, bytes(data)))

    def next(self, seconds):
        """The next message, of the inbox or the wire; None when none comes in time."""
        if self.inbox:
            return self.inbox.popleft()
        return self.receive(seconds)

    def wait(self, wanted, seconds):
        """The first message that 'wanted' likes; the others stay in the inbox. None: none came."""
        for item in self.inbox:
            if wanted(item):
                self.inbox.remove(item)
                return item
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            item = self.receive(left)
            if item is None:
                return None
            if wanted(item):
                return item
            self.inbox.append(item)
        return None

    def drain(self, seconds):
        """Everything that comes within this time, with what had come before."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                item = self.receive(left)
            except Closed:
                break
            if item is not None:
                self.inbox.append(item)
        items, self.inbox = list(self.inbox), collections.deque()
        return items

    def close(self):
        self.sock.close()


class UdpLink(Link):
    """Not connected, so that an answer from a wrong address is seen, not lost."""
    kind = "udp"

    def __init__(self, server, source, trace):
        sock = socket.socket(family_of(server[0]), socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        super().__init__(sock, trace)
        if not source:  # as the system would choose it
            with socket.socket(sock.family, socket.SOCK_DGRAM) as probe:
                probe.connect(server)
                source = probe.getsockname()[0]
        _bind_fresh(sock, source)
        self.server = server
        self.answered_from = None

    def send(self, data):
        self._note(">", data)
        self.sock.sendto(data, self.server)

    def receive(self, seconds):
        if not select.select([self.sock], [], [], seconds)[0]:
            return None
        data, source = self.sock.recvfrom(SNAPSHOT)
        self._note("<", data)
        self.answered_from = source[:2]
        return parse(data)


class TcpLink(Link):
    kind = "tcp"
    reliable = True

    def __init__(self, server, source, trace, timeout=5):
        sock = socket.create_connection(server, timeout, (source, 0) if source else None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, trace)
        self.server = server
        self.rest = b""
        self.answered_from = server

    def send(self, data):
        self._note(">", data)
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def _pending(self):
        return 0

    def receive(self, seconds):
        end = time.monotonic() + seconds
        while True:
            size = stun.frame_length(self.rest)
            if size is not None and len(self.rest) >= size:
                data, self.rest = self.rest[:size], self.rest[size:]
                self._note("<", data)
                return parse(data)
            if not self._read(end - time.monotonic()):
                return None

    def raw(self, seconds):
        """Bytes as they come, without any framing; b"" when the connection was closed, None when
        nothing came in time."""
        if self.rest:
            data, self.rest = self.rest, b""
            return data
        try:
            if not self._read(seconds):
                return None
        except Closed:
            return b""
        data, self.rest = self.rest, b""
        return data

    def _read(self, seconds):
        if not self._pending() and not select.select([self.sock], [], [], max(0, seconds))[0]:
            return False
        try:
            data = self.sock.recv(SNAPSHOT)
        except ssl.SSLWantReadError:
            return True
        except (ConnectionResetError, ssl.SSLError) as error:
            raise Closed from error
        if not data:
            raise Closed
        self.rest += data
        return True


class TlsLink(TcpLink):
    """The certificate is not verified: what is tested is the protocol, at an address."""
    kind = "tls"
    secure = True

    def __init__(self, server, source, trace, context=None):
        super().__init__(server, source, trace)
        self.sock = (context or tls_context()).wrap_socket(self.sock)

    def _pending(self):
        return self.sock.pending()


def tls_context(ciphers=None, highest=None, alpn=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if highest:
        context.maximum_version = highest
    if ciphers:
        context.set_ciphers(ciphers)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


class DtlsLink(Link):
    """By the program openssl, because Python has no DTLS. It hands over bytes, not datagrams, so
    that only messages which say their length can be told apart: STUN, not ChannelData."""
    kind = "dtls"
    secure = True

    def __init__(self, server, source, trace):
        bind = ["-bind", f"[{source}]:0" if ":" in source else f"{source}:0"] if source else []
        host = f"[{server[0]}]" if ":" in server[0] else server[0]
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-dtls", "-quiet", *bind, "-connect", f"{host}:{server[1]}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        super().__init__(None, trace)
        self.server = self.answered_from = server
        self.rest = b""

    @property
    def local(self):
        return None  # known to openssl alone

    def send(self, data):
        self._note(">", data)
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise Closed from error
        time.sleep(0.03)  # or it would put two messages into one record

    def receive(self, seconds):
        end = time.monotonic() + seconds
        while True:
            size = stun.frame_length(self.rest)
            if size is not None and len(self.rest) >= size:
                data, self.rest = self.rest[:size], self.rest[size:]
                self._note("<", data)
                return parse(data)
            left = max(0, end - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                return None
            data = os.read(self.process.stdout.fileno(), SNAPSHOT)
            if not data:
                raise Closed
            self.rest += data

    def close(self):
        self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
