# SPDX-License-Identifier: ISC
"""The list of cases, and what each of them works with."""

import collections
import contextlib
import dataclasses
import hashlib
import os
import shutil
import threading
import time
import traceback

import link as links
import peer as peers
import stun
from client import Client, Failed, NotApplicable, require, show
from stun import A, M

LEVELS = {
    "MUST": "the text says MUST or MUST NOT",
    "RULE": "the text says what the server does, without the capitals",
    "SHOULD": "the text says SHOULD or RECOMMENDED",
    "CARE": "the text does not ask for it; a careful server does it",
}
CASES = {}   # id -> Case, in the order of the documents
GROUPS = {}  # name -> title


@dataclasses.dataclass
class Case:
    id: str
    level: str
    sentence: str
    group: str
    function: object
    slow: bool
    new: bool  # not yet in RFC 5389 or RFC 5766

    @property
    def section(self):
        rfc, *rest = self.id.split("-")
        return f"RFC {rfc} section {rest[0]}" if rfc.isdigit() else "no section"


def group(name, title):
    """Begins a group; returns the decorator for its cases."""
    GROUPS[name] = title

    def case(identity, level, sentence, slow=False, new=False):
        assert level in LEVELS and identity not in CASES, identity

        def decorate(function):
            CASES[identity] = Case(identity, level, sentence, name, function, slow, new)
            return function
        return decorate
    return case


def select(words, slow):
    """Cases by id, or by the beginning of an id or a group, or all. Those that are slow only by id,
    by the word "slow", or if asked for."""
    def wanted(case, word):
        if case.slow and not slow:
            return word in (case.id, "slow")
        return word in (case.id, case.group) or case.id.startswith(word + "-")

    chosen = [case for case in CASES.values()
              if any(wanted(case, word) for word in words)
              or (not words and (slow or not case.slow))]
    if words and not chosen:
        raise SystemExit(f"run: no case or group is named {' '.join(words)}")
    return chosen


@dataclasses.dataclass
class Timing:
    answer: float = 3.0   # how long a response may take
    again: float = 0.5    # first retransmission
    quiet: float = 0.25   # how long nothing must come


@dataclasses.dataclass
class Target:
    """A server, and the addresses from which it is seen."""
    servers: dict  # family 4 or 6 -> (host, port)
    tls_port: int = None
    unroutable: str = None  # an IPv4 address without a route at the server
    secret: str = None
    rest_host: str = None  # ejabberd's usernames: hashes of user and host
    user: str = None
    password: str = None
    realm: str = None
    peers: dict = dataclasses.field(default_factory=lambda: {4: [], 6: []})
    sources: dict = dataclasses.field(default_factory=dict)
    timing: Timing = dataclasses.field(default_factory=Timing)

    def credentials(self, identity, lifetime=3600):
        if self.secret:
            if self.rest_host:
                identity = "".join(hashlib.sha1(part.encode()).hexdigest()[:8]
                                   for part in (identity, self.rest_host))
            return stun.rest_credentials(self.secret, identity, int(time.time()) + lifetime)
        return self.user, self.password


class Bench:
    """What one case works with; it gives back whatever it opened."""

    def __init__(self, target, name):
        self.target = target
        self.timing = target.timing
        self.name = name
        self.trace = collections.deque(maxlen=40)
        self.stack = contextlib.ExitStack()

    def close(self):
        self.stack.close()

    def applicable(self, condition, reason):
        if not condition:
            raise NotApplicable(reason)

    def need_root(self):
        self.applicable(os.geteuid() == 0, "needs raw sockets")

    # --- ways to the server ---

    def server(self, family=4):
        self.applicable(family in self.target.servers,
                        f"no IPv{family} address of the server was given")
        return self.target.servers[family]

    def link(self, kind="udp", family=None):
        family = family or min(self.target.servers)
        host, port = self.server(family)
        source = self.target.sources.get(family)
        if kind in ("tls", "dtls"):
            port = self.target.tls_port
            self.applicable(port, "no TLS port of the server was given")
        if kind == "udp":
            link = links.UdpLink((host, port), source, self.trace)
        elif kind == "dtls":
            self.applicable(shutil.which("openssl"), "needs the program openssl")
            link = links.DtlsLink((host, port), source, self.trace)
        else:
            made = links.TcpLink if kind == "tcp" else links.TlsLink
            link = self._stream(made, (host, port), source)
        self.stack.callback(link.close)
        return link

    def _stream(self, kind, server, source):
        try:
            return kind(server, source, self.trace)
        except OSError as error:
            raise Failed(f"no {kind.kind} connection: {error}") from error

    def client(self, kind="udp", family=None, identity=None, credentials=None):
        credentials = credentials or self.target.credentials(identity or self.name)
        client = Client(self.link(kind, family), credentials, self.timing)
        self.stack.callback(self._release, client)
        return client

    @staticmethod
    def _release(client):
        with contextlib.suppress(OSError, links.Closed):
            client.release()

    def allocation(self, *attributes, kind="udp", family=None, **options):
        client = self.client(kind, family)
        client.allocate(*attributes, **options)
        return client

    def allocation6(self, **options):
        """An allocation with an IPv6 relayed address, where the server has one."""
        client = self.client(**options)
        response = client.request(M.ALLOCATE, [
            (A.REQUESTED_TRANSPORT, stun.u8(stun.UDP)),
            (A.REQUESTED_ADDRESS_FAMILY, stun.u8(stun.IPV6))])
        self.applicable(response.ok, f"no IPv6 relayed address: {show(response)}")
        client.keep(response)
        return client

    def other_user(self, identity):
        """Credentials of somebody else who is known to the server."""
        self.applicable(self.target.secret, "only one user is known; others are made with --secret")
        return self.target.credentials(identity)

    # --- peers ---

    def peer(self, number=0, family=4, port=0):
        hosts = self.target.peers[family]
        self.applicable(len(hosts) > number, f"needs {number + 1} IPv{family} peer address(es)")
        peer = peers.Peer(hosts[number], self.trace, port)
        self.stack.callback(peer.close)
        return peer

    def sniffer(self, peer):
        self.need_root()
        sniffer = peers.Sniffer(peer.host)
        self.stack.callback(sniffer.close)
        return sniffer

    # --- what must and must not arrive ---

    def unheard(self, link, what, fence=True):
        """Nothing comes back. The fence, a Binding request after it, is answered at once, so that
        a later wait is short without being a guess."""
        got = []
        if fence:
            probe = Client(link, ("", ""), self.timing)
            require(probe.transact(stun.build(M.BINDING, stun.REQUEST)) is not None,
                    f"after {what} not even a Binding request was answered")
        got += link.drain(self.timing.quiet)
        require(not got, f"{what} was answered: {', '.join(map(show, got))}")

    def arrives(self, peer, data, what="the data"):
        got, source = peer.receive(self.timing.answer)
        require(got == data, f"{what}: the peer got "
                f"{'nothing' if got is None else f'{len(got)} bytes {got[:16].hex()}'}")
        return source

    def nothing_at(self, peer, what):
        got, _ = peer.receive(2 * self.timing.quiet)
        require(got is None, f"{what}: the peer got {got!r:.60}")

    def comes_back(self, client, data, what="the peer's data"):
        """As a Data indication; returns it."""
        item = client.receive_data()
        require(item is not None, f"{what}: nothing came")
        require(isinstance(item, stun.Message),
                f"{what}: {show(item)} instead of a Data indication")
        require(item.get(A.DATA) == data, f"{what}: {show(item)} with other data")
        return item

    def nothing_back(self, client, what):
        item = client.receive_data(2 * self.timing.quiet)
        require(item is None, f"{what}: {show(item)} came")

    def exchange(self, client, peer, tag=b"exchange"):
        """Both ways by indications; a permission must stand."""
        client.send(peer.address, tag)
        self.arrives(peer, tag, "a Send indication")
        peer.send(tag + b" back", client.relayed[0])
        return self.comes_back(client, tag + b" back")


def run_case(case, target):
    """Runs one case; returns its result as a dictionary."""
    bench = Bench(target, f"conformance-{case.id}"[:48])
    start = time.monotonic()
    try:
        try:
            seen = case.function(bench)
        finally:
            bench.close()
        verdict, seen = "pass", seen or ""
    except NotApplicable as reason:
        verdict, seen = "not applicable", str(reason)
    except Failed as failure:
        verdict, seen = "fail", str(failure)
    except links.Closed:
        verdict, seen = "fail", "the server closed the connection"
    except OSError as error:
        verdict, seen = "fail", f"{type(error).__name__}: {error}"
    except stun.Malformed as error:
        verdict, seen = "fail", f"malformed: {error}"
    except Exception:  # the suite itself is wrong; the others must go on
        verdict, seen = "fail", f"the case is broken: {traceback.format_exc(limit=-2)}"
    result = {"id": case.id, "group": case.group, "level": case.level, "section": case.section,
              "sentence": case.sentence, "new": case.new, "slow": case.slow, "verdict": verdict,
              "seen": " ".join(seen.split()), "seconds": round(time.monotonic() - start, 2)}
    if verdict == "fail":
        result["packets"] = [f"{way} {kind} {data[:256].hex()}" for way, kind, data in bench.trace]
    return result


def run(cases, target, jobs, report):
    """Runs cases side by side; report(result) for each as it ends. Returns them in their order. The
    slow ones only wait: they come first, and do not count among 'jobs'."""
    results, lock = {}, threading.Lock()
    queue = collections.deque(sorted(cases, key=lambda case: not case.slow))
    jobs += sum(case.slow for case in cases)

    def work():
        while True:
            with lock:
                if not queue:
                    return
                case = queue.popleft()
            result = run_case(case, target)
            with lock:
                results[case.id] = result
                report(result)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [results[case.id] for case in cases]
