# SPDX-License-Identifier: ISC
"""Light users of an XMPP server that set calls up with each other at a given rate, and note how
long each of their stanzas was under way. All of them are this one process: one clock, and little
CPU time beside what is measured.

A call is session-initiate, session-accept, two transport-infos of either side and
session-terminate, each of which is answered at once: seven requests and seven answers.
"""

import base64
import gc
import selectors
import socket
import statistics
import time

from callers import INFO, OFFER, Reader

TRICKLED = 2  # transport-infos of each side
DRAIN = 5     # s that the last calls may take when no more are begun
PRINT = ":".join(["5E"] * 32)

TRICKLE = """<iq type='set' id='{id}' to='{to}'><jingle xmlns='urn:xmpp:jingle:1'
 action='transport-info' sid='{sid}'><content creator='initiator' name='0'>
<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='{ufrag}' pwd='{pwd}'>
<candidate component='1' foundation='{n}' generation='0' id='c{id}' ip='{ip}' network='0'
 port='{port}' priority='1694498815' protocol='udp' type='srflx' rel-addr='{ip}' rel-port='9'/>
</transport></content></jingle></iq>"""

END = """<iq type='set' id='{id}' to='{to}'><jingle xmlns='urn:xmpp:jingle:1'
 action='session-terminate' sid='{sid}'><reason><success/></reason></jingle></iq>"""

HEAD = """<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'
 to='{domain}' version='1.0'>"""

# What ids of requests begin with: those with a description, those with candidates, and the last.
OFFERS, CANDIDATES, LAST = "ia", "xy", "t"


class User:
    """One session at the server."""

    def __init__(self, name, domain, stream, ip, port):
        self.jid = f"{name}@{domain}/x"
        self.ip, self.port = ip, port
        self.ufrag, self.pwd = f"{name}f", f"{name}-0123456789-0123456789"
        self.peer = None  # the other user of the pair
        self.socket = stream
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        login = base64.b64encode(f"\0{name}\0{name}-pw".encode()).decode()
        head = HEAD.format(domain=domain)
        for text, end in (
                (head, b"</stream:features>"),
                (f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{login}</auth>",
                 b"<success"),
                (head, b"</stream:features>"),
                ("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                 "<resource>x</resource></bind></iq>", b"</iq>")):
            self.write(text)
            self._skip(end)

    def _skip(self, end):
        """Reads until that came."""
        data = b""
        while end not in data:
            more = self.socket.recv(65536)
            if not more:
                raise RuntimeError(f"{self.jid}: waited for {end}, got {data[-300:]}")
            data += more

    def listen(self, on_stanza):
        self.reader = Reader(lambda elements: on_stanza(self, elements))
        self.reader.feed(HEAD.format(domain="").encode())

    def read(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise RuntimeError(f"{self.jid}: the server closed the stream")
        self.reader.feed(data)

    def write(self, text):
        self.socket.sendall(text.encode())

    # --- requests to the peer; a call is its number ---

    def offer(self, kind, call):
        starts = kind == "i"
        return OFFER.format(
            id=f"{kind}{call}", from_=self.jid, to=self.peer.jid, sid=f"s{call}", print=PRINT,
            action="session-initiate" if starts else "session-accept",
            role="initiator" if starts else "responder", setup="actpass" if starts else "active",
            ufrag=self.ufrag, pwd=self.pwd, ip=self.ip, port=self.port)

    def trickle(self, kind, call, n):
        return TRICKLE.format(id=f"{kind}{call}.{n}", to=self.peer.jid, sid=f"s{call}", n=n + 2,
                              ufrag=self.ufrag, pwd=self.pwd, ip=self.ip, port=self.port + n + 1)

    def end(self, call):
        return END.format(id=f"{LAST}{call}", to=self.peer.jid, sid=f"s{call}")


class Users:
    """Pairs of users, by domain."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.pairs = {}
        self.calls = 0  # begun so far
        self._forget()

    def join(self, domain, connect, count, ips):
        """Pairs u<2n>, u<2n+1> of that domain; connect() gives a connected socket."""
        pairs = self.pairs.setdefault(domain, [])
        for n in range(count):
            pair = [User(f"u{2 * n + i}", domain, connect(), ips[i], 10000 + 8 * n)
                    for i in range(2)]
            pair[0].peer, pair[1].peer = pair[1], pair[0]
            for user in pair:
                user.listen(self._on_stanza)
                self.selector.register(user.socket, selectors.EVENT_READ, user)
            pairs.append(pair)

    def close(self):
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()

    def run(self, domain, rate, seconds):
        """Begins so many calls a second, as long as no more are under way than there are pairs:
        more would measure nothing but queues. Returns figures, times in ms."""
        self._forget()
        self.last = time.monotonic()
        gc.collect()
        gc.disable()
        try:
            start = time.monotonic()
            self._work(self.pairs[domain], rate, start, start + seconds)
        finally:
            gc.enable()
        took = max(self.last - start, seconds)
        return {"begun": self.begun, "done": self.done, "requests": self.requests,
                "per_second": self.done / took, "lateness": self.lateness, **self.delays}

    def _forget(self):
        self.sent = {}  # id, and "r" and the id for an answer: when it was written
        self.began = {}
        self.delays = {"offer": [], "candidate": [], "request": [], "answer": [], "set_up": []}
        self.lateness = []  # how much later than planned calls were begun
        self.begun = self.done = self.requests = 0
        self.last = 0  # when a call ended

    # --- the loop ---

    def _work(self, pairs, rate, start, stop):
        now = start
        while now < stop + DRAIN and (now < stop or self.done < self.begun):
            due = start + self.begun / rate
            free = now < stop and self.begun - self.done < len(pairs)
            if free and due <= now:
                self.lateness.append(now - max(due, self.last))
                self._begin(pairs[self.begun % len(pairs)][0])
            else:
                wait = due - now if free else (stop if now < stop else stop + DRAIN) - now
                for key, _ in self.selector.select(max(wait, 0)):
                    key.data.read()
            now = time.monotonic()

    def _begin(self, user):
        self.calls += 1
        self.begun += 1
        call = self.calls
        self.began[call] = time.monotonic()
        self._request(user, f"i{call}", user.offer("i", call))
        for n in range(TRICKLED):
            self._request(user, f"x{call}.{n}", user.trickle("x", call, n))

    def _request(self, user, identity, text):
        self.sent[identity] = time.monotonic()
        self.requests += 1
        user.write(text)

    def _on_stanza(self, user, elements):
        name, attributes = elements[0]
        if not name.endswith(" iq"):
            return
        kind, identity = attributes["type"], attributes["id"]
        if kind == "set":
            self._on_request(user, identity, attributes["from"])
        elif kind == "get":  # the relay asks what the client can do
            user.write(INFO.format(id=identity, from_=user.jid, to=attributes["from"]))
        elif kind == "result":
            self._note("answer", "r" + identity)
            if identity[0] == LAST:
                self._on_end(int(identity[1:]))

    def _note(self, what, identity):
        """A stanza of ours came; returns False where it is not one of this run."""
        written = self.sent.pop(identity, None)
        if written is None:
            return False
        self.delays[what].append((time.monotonic() - written) * 1000)
        return True

    def _on_request(self, user, identity, from_):
        kind = identity[0]
        known = self._note("request", identity)
        if known:
            self.sent["r" + identity] = time.monotonic()
        user.write(f"<iq type='result' id='{identity}' to='{from_}'/>")
        if not known:
            return  # the relay's own, or of the run before
        if kind in OFFERS:
            self.delays["offer"].append(self.delays["request"][-1])
        elif kind in CANDIDATES:
            self.delays["candidate"].append(self.delays["request"][-1])
        self._go_on(user, kind, identity)

    def _go_on(self, user, kind, identity):
        """What a request makes its receiver do."""
        call, _, n = identity[1:].partition(".")
        call = int(call)
        if kind == "i":
            self._request(user, f"a{call}", user.offer("a", call))
            for i in range(TRICKLED):
                self._request(user, f"y{call}.{i}", user.trickle("y", call, i))
        elif kind == "a":
            self.delays["set_up"].append((time.monotonic() - self.began[call]) * 1000)
        elif kind == "y" and n == str(TRICKLED - 1):
            self._request(user, f"t{call}", user.end(call))

    def _on_end(self, call):
        if self.began.pop(call, None) is not None:
            self.done += 1
            self.last = time.monotonic()


def quantile(samples, percent):
    """None where there are no samples."""
    if len(samples) < 2:
        return samples[0] if samples else None
    return statistics.quantiles(samples, n=100, method="inclusive")[percent - 1]
