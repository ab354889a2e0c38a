# SPDX-License-Identifier: ISC
"""The relay is killed and started again while calls are set up: real server, real daemon, and
users that count every stanza (lab/puppets.py). None may be lost, doubled or late, in either
direction; who could connect without the relay has all that it takes.
"""

import asyncio
import collections
import signal
import time

from lab.call import require
from lab.network import wait_for
from lab.puppets import JINGLE, User, is_request
from lab.stage import SERVERS, Stage

SCENARIOS = {}
CALLS = 200
AT_A_TIME = 50
PATIENCE = 5  # s for each step
TRICKLED = 4  # candidates of each side that are sent after the offer and the answer

CONTENT = """<content xmlns='urn:xmpp:jingle:1' creator='initiator' name='a' senders='both'>
<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>
<payload-type id='0' name='PCMU' clockrate='8000'/><rtcp-mux/></description>{transport}</content>"""
TRICKLE = """<content xmlns='urn:xmpp:jingle:1' creator='initiator' name='a'>{transport}</content>"""
TRANSPORT = """<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='{side}abc'
 pwd='{side}0123456789012345678901234'><candidate component='1' foundation='{n}' generation='0'
 id='c{n}' ip='192.0.2.{n}' network='0' port='{port}' priority='2130706431' protocol='udp'
 type='host'/></transport>"""


def scenario(function):
    """Registers a coroutine function as one scenario per server."""
    for server in SERVERS:
        SCENARIOS[f"divert-crash-{server}-{function.__name__.replace('_', '-')}"] = function, server
    return function


def run(name, daemon, logs=None):
    function, server = SCENARIOS[name]
    with Stage(server, logs) as stage:
        return stage.network.inside("srv", lambda: asyncio.run(function(stage, daemon)))


class SetUp:
    """One call, from offer to hang-up, between puppets that answer requests at once."""

    def __init__(self, number, alice, bob):
        self.alice, self.bob, self.sid = alice, bob, f"sid{number}"
        self.sent = {alice: [], bob: []}
        self.slowest = 0

    def say(self, user, action, text="", n=1):
        side = "a" if user is self.alice else "b"
        peer = self.bob if user is self.alice else self.alice
        identity = f"{self.sid}{side}{len(self.sent[user])}"
        self.sent[user].append(identity)
        transport = TRANSPORT.format(side=side, n=n, port=10000 + n)
        user.jingle(peer.jid, identity, action, self.sid, text.format(transport=transport))
        return identity

    async def arrives(self, identity, user):
        """The request came to the user, and its sender has the answer."""
        peer = self.bob if user is self.alice else self.alice
        start = time.monotonic()
        await user.until(lambda: identity in user.requests(), identity, PATIENCE)
        await peer.until(lambda: [e for e in peer.inbox if e.get("id") == identity],
                         f"answer to {identity}", PATIENCE)
        self.slowest = max(self.slowest, time.monotonic() - start)

    async def run(self):
        alice, bob = self.alice, self.bob
        await self.arrives(self.say(alice, "session-initiate", CONTENT), bob)
        for n in range(TRICKLED):
            self.say(alice, "transport-info", TRICKLE, n + 2)
        last = self.say(bob, "session-accept", CONTENT)
        for n in range(TRICKLED):
            last = self.say(bob, "transport-info", TRICKLE, n + 2)
            await asyncio.sleep(0.005)
        await self.arrives(last, alice)
        await self.arrives(self.sent[alice][-1], bob)
        await self.arrives(self.say(alice, "session-terminate",
                                    f"<reason xmlns='{JINGLE}'><success/></reason>"), bob)

    def check(self):
        """Each request came once, in order; each answer once; nothing else."""
        for user, peer in ((self.alice, self.bob), (self.bob, self.alice)):
            require(user.requests() == self.sent[peer],
                    f"{peer.jid} sent {self.sent[peer]}, {user.jid} got {user.requests()}")
            answers = collections.Counter(
                (e.get("id"), e.get("type")) for e in user.inbox if e.get("type") in
                ("result", "error"))
            wanted = {(identity, "result"): 1 for identity in self.sent[user]}
            require(answers == wanted, f"{user.jid}: answers {answers}, of {wanted}")


def relayed(element):
    """Whether the relay put a candidate of its own in."""
    return "203.0.113.10" in [c.get("ip") for c in element.iter(
        "{urn:xmpp:jingle:transports:ice-udp:1}candidate")]


async def _pair(number):
    alice, bob = User("alice", f"c{number}"), User("bob", f"c{number}")
    alice.answers = bob.answers = True
    await alice.join()
    await bob.join()
    return alice, bob


async def _crash(stage, daemon, after):
    """Kills it, and starts it again half a second later; returns when the server has found it."""
    await asyncio.sleep(after)
    await stage.ask_server(stage.network.stop, daemon.process, signal.SIGKILL)
    await asyncio.sleep(0.5)
    daemon.start()
    await stage.ask_server(wait_for, "the daemon", daemon.is_up, 20)


@scenario
async def killed_while_calls_are_set_up(stage, program):
    """Fifty at a time and again fifty, the relay killed in the middle of each."""
    daemon = stage.daemon(program)
    await stage.ask_server(wait_for, "the daemon", daemon.is_up, 20)
    pairs = [await _pair(number) for number in range(AT_A_TIME)]
    figures = collections.Counter()
    slowest = 0
    for wave in range(CALLS // AT_A_TIME):
        await asyncio.sleep(0.5)  # the server asks what the relay can do
        calls = [SetUp(AT_A_TIME * wave + number, *pair) for number, pair in enumerate(pairs)]
        crash = asyncio.ensure_future(_crash(stage, daemon, (0.05, 0.2, 0.4, 0.7)[wave]))
        await asyncio.gather(*(call.run() for call in calls))
        await crash
        for call in calls:
            call.check()
            figures["requests"] += len(call.sent[call.alice]) + len(call.sent[call.bob])
            figures["with_relay"] += sum(map(relayed, filter(is_request, call.bob.inbox)))
            call.alice.inbox.clear()
            call.bob.inbox.clear()
        slowest = max(slowest, *(call.slowest for call in calls))
    require(figures["with_relay"] > 0, "the relay was in none of them")
    require(slowest < 2.5, f"one step took {slowest:.1f} s")
    return {"calls": CALLS, **figures, "lost": 0, "doubled": 0,
            "slowest_step_ms": round(slowest * 1000), "counts": stage.server.counts()}
