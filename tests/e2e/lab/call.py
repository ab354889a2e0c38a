# SPDX-License-Identifier: ISC
"""A call from Alice to Bob through the relay, and what can be said of it."""

import time

from .lab import through_relay
from .network import wait_for


class Failure(Exception):
    """A scenario did not go as it must."""


def require(condition, what):
    if not condition:
        raise Failure(what)


class Call:
    """Two clients of a lab and the call between them."""

    def __init__(self, lab, a, b, kinds):
        self.lab = lab
        self.kinds = kinds
        self.alice, self.bob = (lab.client(kind, user) for kind, user in ((a, "alice"), (b, "bob")))
        self.both = (self.alice, self.bob)
        self.sid = None
        self.setup_ms = None

    def connect(self):
        for client in self.both:
            self.lab.connect(client)
        return self

    def address(self):
        """Whom Alice calls."""
        return through_relay(self.bob.jid)

    def place(self, seconds=20, **options):
        """Calls, and waits until media of every kind arrive at both sides."""
        start = time.monotonic()
        self.sid = self.alice.ask("call", to=self.address(), kinds=self.kinds, **options)["sid"]
        wait_for("media at both sides", self._all_flow, seconds)
        self.setup_ms = round((time.monotonic() - start) * 1000)
        return self

    def stats(self):
        """The stats of both clients, asked for at the same time."""
        posted = [(client, client.post("stats")) for client in self.both]
        return [client.take(number) for client, number in posted]

    def received(self):
        """Packets received so far: [alice's, bob's], each by kind."""
        return [{kind: s["in"].get(kind, {}).get("packets", 0) for kind in self.kinds}
                for s in self.stats()]

    def _all_flow(self):
        for client, stats in zip(self.both, self.stats()):
            require(not stats["ended"], f"the call ended for {client.user}: {stats['ended']}")
        return all(count > 0 for side in self.received() for count in side.values())

    def keep_flowing(self, seconds, least=10):
        """Waits, and requires that media of every kind went on arriving at both sides."""
        before = self.received()
        time.sleep(seconds)
        for client, old, new in zip(self.both, before, self.received()):
            for kind in self.kinds:
                got = new[kind] - old[kind]
                require(got >= least,
                        f"{client.user} received {got} {kind} packets in {seconds} s")

    def resumes_within(self, seconds, kind="audio"):
        """Waits until new media arrive at both sides; returns for how many ms each had none. To be
        called right after something cut the media. What was under way does not count."""
        start = time.monotonic()
        time.sleep(0.1)
        base = [side[kind] for side in self.received()]
        gaps = [None, None]

        def flows():
            for i, side in enumerate(self.received()):
                if gaps[i] is None and side[kind] > base[i] + 2:
                    gaps[i] = round((time.monotonic() - start) * 1000)
            return None not in gaps

        wait_for("media after the interruption", flows, seconds)
        return {"alice": gaps[0], "bob": gaps[1]}

    def hangup(self):
        self.alice.ask("hangup")
        wait_for("Bob learns that the call ended", lambda: self.bob.ask("stats")["ended"], 5)

    def paths_closed(self):
        wait_for("the relay closes the call's paths",
                 lambda: self.lab.daemon.metrics()["paths"] == 0, 5)

    def relay(self):
        """The daemon's own view of this call, whole."""
        known = self.lab.daemon.json("/api/calls")
        for line in known["calls"] + known["ended"]:
            if line["sid"] == self.sid:
                return self.lab.daemon.json(f"/api/calls/{line['id']}")
        raise Failure(f"the daemon does not know the call {self.sid}")

    def carried(self):
        """Requires that the relay says it carried the call, in both directions; returns its view."""
        view = self.relay()
        require(view["verdict"] == "carried", f"the relay's verdict: {view['verdict']}")
        return view

    def figures(self):
        """What both sides measured, for the result line."""
        stats = dict(zip(("alice", "bob"), self.stats()))

        def of(field):
            return {user: {kind: s["in"].get(kind, {}).get(field, 0) for kind in self.kinds}
                    for user, s in stats.items()}

        return {"setup_ms": self.setup_ms, "packets_received": of("packets"), "loss": of("lost"),
                "candidate_types": {user: sorted({f"{p['local']}/{p['remote']}"
                                                  for p in s["pairs"]})
                                    for user, s in stats.items()}}

    def close(self):
        for client in self.both:
            client.close()
