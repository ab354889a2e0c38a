# SPDX-License-Identifier: ISC
"""Streams that break and are resumed (XEP-0198) while the relay has what their users sent or are to
get: nothing is lost, nothing comes twice (docs/DIVERT.md section 4). Real servers, puppets.
"""

import asyncio

from lab.call import require
from lab.puppets import CLIENT, Relay, User, is_changed, is_request
from lab.stage import SERVERS, Stage

SCENARIOS = {}
SM = "urn:xmpp:sm:3"


def scenario(function):
    """Registers a coroutine function as one scenario per server."""
    for server in SERVERS:
        SCENARIOS[f"divert-resume-{server}-{function.__name__.replace('_', '-')}"] = function, server
    return function


def run(name, _daemon, logs=None):
    function, server = SCENARIOS[name]
    with Stage(server, logs) as stage:
        return stage.network.inside("srv", lambda: asyncio.run(function(stage))) or {}


class Resumable(User):
    """A user whose session survives its connection. 'count' is how many stanzas came; those that a
    broken connection had in flight do not count."""

    count, token = 0, None

    async def join(self, host="127.0.0.1"):
        await super().join(host)
        self.write(f"<enable xmlns='{SM}' resume='true'/>")
        self.token = (await self.take(lambda e: e.tag == f"{{{SM}}}enabled", "enabled")).get("id")
        self.count = 0
        return self

    def got(self, element):
        if element.tag == f"{{{SM}}}r":
            self.write(f"<a xmlns='{SM}' h='{self.count}'/>")
            return
        if element.tag.startswith(CLIENT):
            self.count += 1
        super().got(element)

    async def resume(self, host="127.0.0.1"):
        """Comes back by a new connection; returns how many of our stanzas the server had."""
        self.closed = False
        await self.log_in(host)
        self.write(f"<resume xmlns='{SM}' previd='{self.token}' h='{self.count}'/>")
        resumed = await self.take(lambda e: e.tag == f"{{{SM}}}resumed", "resumed")
        return int(resumed.get("h"))


async def _held(relay, count):
    await relay.until(lambda: len(relay.asked) >= count, f"{count} requests")


@scenario
async def who_called(stage):
    """The caller's connection breaks while the relay has his first request and others wait: they all
    go on; the answers wait for him, and he hears that the server has all that he sent."""
    relay = await (await Relay().join()).ready()
    alice, bob = await Resumable("alice").join(), await User("bob").join()
    bob.answers = True
    ids = [f"w{n}" for n in range(4)]
    for number in ids:
        alice.jingle(bob.jid, number)
    await _held(relay, 1)
    alice.close()
    await asyncio.sleep(0.3)
    relay.policy = relay.changes
    relay.changes(*relay.asked[0])
    await bob.until(lambda: bob.requests() == ids, "all requests")
    require(all(map(is_changed, filter(is_request, bob.inbox))), "some went on without the relay")
    had = await alice.resume()
    require(had == len(ids), f"the server had {had} of {len(ids)} stanzas")
    await alice.until(lambda: alice.ids() == ids, "all answers")
    await asyncio.sleep(0.3)
    require(bob.requests() == ids and alice.ids() == ids, f"{bob.requests()}, {alice.ids()}")
    require(not relay.gone, "he was called gone")


@scenario
async def who_is_called(stage):
    """The other one's connection breaks while the relay has what he is to get; he gets it, once, when
    he is back."""
    relay = await (await Relay().join()).ready()
    alice, bob = await User("alice").join(), await Resumable("bob").join()
    bob.answers = True
    ids = [f"r{n}" for n in range(4)]
    for number in ids:
        alice.jingle(bob.jid, number)
    await _held(relay, 1)
    bob.close()
    await asyncio.sleep(0.3)
    relay.policy = relay.changes
    relay.changes(*relay.asked[0])
    await _held(relay, len(ids))
    await asyncio.sleep(0.3)
    await bob.resume()
    await alice.until(lambda: alice.ids() == ids, "all answers")
    await asyncio.sleep(0.3)
    require(bob.requests() == ids and alice.ids() == ids, f"{bob.requests()}, {alice.ids()}")
    require(all(map(is_changed, filter(is_request, bob.inbox))), "some went on without the relay")


@scenario
async def both_and_the_relay(stage):
    """Everything breaks at once, the relay for good."""
    relay = await (await Relay().join()).ready()
    alice, bob = await Resumable("alice").join(), await Resumable("bob").join()
    bob.answers = True
    ids = [f"b{n}" for n in range(4)]
    for number in ids:
        alice.jingle(bob.jid, number)
    await _held(relay, 1)
    for one in (alice, bob, relay):
        one.close()
    await asyncio.sleep(0.5)
    had = await alice.resume()
    await bob.resume()
    require(had == len(ids), f"the server had {had} of {len(ids)} stanzas")
    await alice.until(lambda: alice.ids() == ids, "all answers")
    await asyncio.sleep(0.3)
    require(bob.requests() == ids and alice.ids() == ids, f"{bob.requests()}, {alice.ids()}")
