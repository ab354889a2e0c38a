# SPDX-License-Identifier: ISC
"""docs/DIVERT.md, rule by rule: a real server with our module, between users and a relay that do
exactly what they are told (lab/puppets.py). Each scenario says which rules it tries.
"""

import asyncio
import time

from lab.call import require
from lab.puppets import (DIVERT, JINGLE, Relay, User, changed, divert, forwarded, is_changed,
                         is_request)
from lab.servers import DOMAIN, RELAY
from lab.stage import OTHER, OTHER_RELAY, REMOTE, SERVERS, Stage

SCENARIOS = {}
MOST = 128  # stanzas in one answer
MUC_OWNER = "http://jabber.org/protocol/muc#owner"


def scenario(function):
    """Registers a coroutine function as one scenario per server."""
    for server in SERVERS:
        name = function.__name__.replace("_", "-")
        SCENARIOS[f"divert-rules-{server}-{name}"] = function, server
    return function


def run(name, _daemon, logs=None):
    function, server = SCENARIOS[name]
    with Stage(server, logs) as stage:
        return stage.network.inside("srv", lambda: asyncio.run(function(stage))) or {}


async def _arrive(user, ids, within=4):
    """Waits until all these requests came to the user, and a little for what should not come; they
    must have come once each, in this order. Returns ms until the last."""
    start = time.monotonic()
    await user.until(lambda: set(ids) <= set(user.requests()), f"requests {ids}", within)
    took = round((time.monotonic() - start) * 1000)
    await asyncio.sleep(0.1)
    require(user.requests() == list(ids), f"sent {ids}, got {user.requests()}")
    return took


def _empty(*users):
    for user in users:
        user.inbox.clear()


# --- section 2 and 3: what is asked, and what may come back ---

@scenario
async def wraps_and_sends_on(stage):
    """What the relay is asked looks as the document says; what it makes of it arrives instead of the
    original, once; the answers of the users are theirs; nothing else is asked."""
    relay = await (await Relay().join()).ready()
    alice, bob = await stage.users()
    bob.answers = True
    relay.policy = relay.changes
    alice.jingle(bob.jid, "j1", more="<reason><success/></reason>")
    await _arrive(bob, ["j1"])
    require(is_changed(bob.inbox[-1]), "the original came")
    iq, original = relay.asked[0]
    require((iq.get("type"), iq.get("from"), iq.get("to")) == ("set", DOMAIN, RELAY), "wrapper")
    require([original.get(n) for n in ("type", "id", "from", "to")]
            == ["set", "j1", alice.jid, bob.jid], f"original: {original.attrib}")
    require(original.tag == "{jabber:client}iq", f"original: {original.tag}")
    require(original.find(f"{{{JINGLE}}}jingle/{{{JINGLE}}}reason/{{{JINGLE}}}success")
            is not None, "the payload is not whole")
    await alice.take(lambda e: e.get("id") == "j1" and e.get("type") == "result", "Bob's result")
    relay.policy = relay.passes
    alice.jingle(bob.jid, "j2")
    bob.jingle(alice.jid, "k1")
    await _arrive(alice, ["k1"])
    await _arrive(bob, ["j1", "j2"])
    require(not is_changed(alice.inbox[-1]), "passed, and yet changed")
    # What is no request between two full JIDs with such a payload is none of the relay's business.
    alice.write(f"<iq type='set' id='n1' to='{bob.jid}'><x xmlns='urn:y'/></iq>"
                f"<iq type='get' id='n2' to='{bob.jid}'><jingle xmlns='{JINGLE}'/></iq>"
                f"<iq type='set' id='n3' to='{bob.jid}'><jingle xmlns='urn:other'/></iq>"
                f"<iq type='set' id='n4' to='bob@{DOMAIN}'><jingle xmlns='{JINGLE}'/></iq>"
                f"<message id='n5' to='{bob.jid}'><jingle xmlns='{JINGLE}'/></message>"
                f"<iq type='set' id='n6' to='x@{RELAY}/y'><jingle xmlns='{JINGLE}'/></iq>")
    await bob.take(lambda e: e.get("id") == "n5", "the message")
    await asyncio.sleep(0.2)
    require(sorted(o.get("id") for _, o in relay.asked) == ["j1", "j2", "k1"],
            f"asked: {[o.attrib for _, o in relay.asked]}")
    counts = await stage.ask_server(stage.server.counts)
    require((counts["diverted"], counts["changed"], counts["passed"]) == (3, 1, 2), f"{counts}")
    return {"counts": counts}


@scenario
async def answers_and_extras(stage):
    """The relay answers in place of Bob; it sends more than the original, and the answers to that
    reach nobody."""
    relay = await (await Relay().join()).ready()
    alice, bob = await stage.users()

    def answered(iq, original):
        relay.result(iq, divert("<answered/>" + forwarded(
            f"<iq xmlns='jabber:client' type='result' id='{original.get('id')}' "
            f"from='{original.get('to')}' to='{original.get('from')}'/>")))

    relay.policy = answered
    alice.jingle(bob.jid, "j1")
    await alice.take(lambda e: e.get("id") == "j1" and e.get("from") == bob.jid, "the answer")
    require(not bob.requests(), "Bob got what was answered")

    def more(iq, original):
        relay.result(iq, divert(forwarded(
            changed(original), changed(original, id_="own-1"),
            changed(original, id_="own-2", from_=bob.jid, to=alice.jid))))

    relay.policy = more
    alice.answers = bob.answers = True
    alice.jingle(bob.jid, "j2")
    await _arrive(bob, ["j2", "own-1"])
    await _arrive(alice, ["own-2"])
    await alice.take(lambda e: e.get("id") == "j2", "Bob's result")
    await asyncio.sleep(0.3)
    stray = [e.attrib for e in alice.inbox + bob.inbox if e.get("type") in ("result", "error")]
    require(not stray, f"answers to the relay's own stanzas: {stray}")
    require(len(relay.asked) == 2, "what came back was asked about again")

    relay.policy = more
    bob.answers = False
    _empty(alice, bob)
    alice.jingle(bob.jid, "j3")
    await _arrive(bob, ["j3", "own-1"])
    relay.policy = None
    bob.jingle(alice.jid, "k1")  # all of Bob's waits behind it
    for identity in ("own-1", "j3"):
        bob.write(f"<iq type='result' id='{identity}' to='{alice.jid}'/>")
    await alice.take(lambda e: e.get("id") == "j3", "Bob's result")
    await asyncio.sleep(0.3)
    stray = [e.attrib for e in alice.inbox if e.get("type") == "result"]
    require(not stray, f"answers to the relay's own stanzas while others wait: {stray}")


@scenario
async def many_stanzas(stage):
    """As many stanzas in one answer as the document allows, for clients that read one candidate of
    each: all arrive, in their order, and their answers reach nobody."""
    relay = await (await Relay().join()).ready()
    alice, bob = await stage.users()
    extra = [f"own-{n}" for n in range(MOST - 1)]
    relay.policy = lambda iq, o: relay.result(iq, divert(forwarded(
        changed(o), *(changed(o, id_=identity) for identity in extra))))
    bob.answers = True
    alice.jingle(bob.jid, "j1")
    took = await _arrive(bob, ["j1", *extra])
    await alice.take(lambda e: e.get("id") == "j1" and e.get("type") == "result", "Bob's result")
    await asyncio.sleep(0.3)
    require(not alice.ids(), f"answers to the relay's own stanzas: {alice.ids()}")
    return {"ms": took}


@scenario
async def nobody_there_any_more(stage):
    """Bob leaves while the relay has the request: Alice gets the server's error for hers, and none
    for what the relay sends in her name."""
    relay = await (await Relay().join()).ready()
    alice, bob = await stage.users()
    alice.jingle(bob.jid, "j1")
    await relay.until(lambda: relay.asked, "the request")
    await bob.leave()
    await asyncio.sleep(0.5)
    iq, original = relay.asked[0]
    relay.result(iq, divert(forwarded(changed(original), changed(original, id_="own-1"),
                                      changed(original, id_="own-2"))))
    await alice.take(lambda e: e.get("id") == "j1" and e.get("type") == "error", "the error")
    await asyncio.sleep(0.3)
    require(not alice.ids(), f"answers to the relay's own stanzas: {alice.ids()}")


def _bad_answers(relay):
    """{what: policy} of answers that are not valid."""
    def reply(make):
        return lambda iq, original: relay.result(iq, make(iq, original))

    return {
        "nothing": reply(lambda i, o: ""),
        "other payload": reply(lambda i, o: "<query xmlns='urn:y'/>"),
        "other namespace": reply(lambda i, o: f"<divert xmlns='{DIVERT}x'><pass/></divert>"),
        "empty": reply(lambda i, o: divert("")),
        "not forwarded": reply(lambda i, o: divert(changed(o))),
        "forwarded by other means": reply(lambda i, o: divert(
            f"<forwarded xmlns='urn:z'>{changed(o)}</forwarded>")),
        "nothing forwarded": reply(lambda i, o: divert(forwarded(""))),
        "other recipient": reply(lambda i, o: divert(forwarded(changed(o, to=f"eve@{DOMAIN}/x")))),
        "other sender": reply(lambda i, o: divert(forwarded(changed(o, from_=f"eve@{DOMAIN}/x")))),
        "bare sender": reply(lambda i, o: divert(forwarded(changed(o, from_=f"alice@{DOMAIN}")))),
        "other id": reply(lambda i, o: divert(forwarded(changed(o, id_="z")))),
        "other type": reply(lambda i, o: divert(forwarded(changed(o, type_="get")))),
        "wrong way round": reply(lambda i, o: divert(forwarded(
            changed(o, from_=o.get("to"), to=o.get("from"))))),
        "a good one and a stranger's": reply(lambda i, o: divert(forwarded(
            changed(o), changed(o, id_="z", to=f"eve@{DOMAIN}/x")))),
        "answered with a request": reply(lambda i, o: divert("<answered/>" + forwarded(changed(o)))),
        "answered with nothing": reply(lambda i, o: divert("<answered/>")),
        "an error": lambda iq, _: relay.result(
            iq, "<error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
                "</error>", kind="error"),
        "too many stanzas": reply(lambda i, o: divert(forwarded(
            changed(o), *(changed(o, id_=f"z{n}") for n in range(MOST))))),
    }


@scenario
async def bad_answers_pass_the_original(stage):
    """Whatever comes back that is not right, the original goes on, at once and alone."""
    relay = await (await Relay().join()).ready()
    alice, bob = await stage.users()
    took = {}
    for number, (what, policy) in enumerate(_bad_answers(relay).items()):
        relay.policy = policy
        alice.jingle(bob.jid, f"b{number}")
        took[what] = await _arrive(bob, [f"b{number}"], within=1)
        require(not is_changed(bob.inbox[-1]), f"{what}: the relay's stanza came")
        _empty(alice, bob)
    counts = await stage.ask_server(stage.server.counts)
    require(counts["failed"] == len(took), f"counted: {counts}")
    return {"cases": len(took), "slowest_ms": max(took.values())}


# --- section 4: fail-open ---

@scenario
async def silence(stage):
    """A relay that says nothing costs two seconds once, and is then not asked until it has answered
    a question; a late answer is dropped."""
    relay = await (await Relay().join()).ready()
    alice, bob = await stage.users()
    alice.jingle(bob.jid, "s1")
    took = await _arrive(bob, ["s1"])
    require(1800 <= took <= 2600, f"the original went on after {took} ms")
    relay.changes(*relay.asked[0])  # too late
    await asyncio.sleep(0.3)
    require(bob.requests() == ["s1"], f"a late answer came through: {bob.requests()}")
    relay.policy = relay.changes
    await relay.until(lambda: relay.probes >= 2, "the question whether it is there")
    await asyncio.sleep(0.2)
    alice.jingle(bob.jid, "s2")
    await _arrive(bob, ["s1", "s2"])
    require(is_changed(bob.inbox[-1]), "a relay that answers again is not asked")
    return {"went_on_after_ms": took}


@scenario
async def mute_to_everything(stage):
    """A relay that is connected and hangs, so that it does not even answer disco#info: after the
    first two seconds nobody waits any more, also not those behind the first."""
    relay = await (await Relay().join()).ready()
    relay.got = lambda element: None
    alice, bob = await stage.users()
    ids = [f"m{n}" for n in range(20)]
    for number in ids[:10]:
        alice.jingle(bob.jid, number)
    took = await _arrive(bob, ids[:10])
    require(took <= 2600, f"ten requests took {took} ms")
    for number in ids[10:]:
        alice.jingle(bob.jid, number)
    later = await _arrive(bob, ids)
    require(later <= 500, f"ten more took {later} ms")
    return {"first_ms": took, "later_ms": later}


@scenario
async def away(stage):
    """No component, one that does not take requests, one that has gone, and one that comes back."""
    alice, bob = await stage.users()
    alice.jingle(bob.jid, "a1")
    took = [await _arrive(bob, ["a1"])]
    deaf = await (await Relay(features=[JINGLE]).join()).ready()
    alice.jingle(bob.jid, "a2")
    took.append(await _arrive(bob, ["a1", "a2"]))
    require(not deaf.asked, "asked a component that does not announce it")
    deaf.close()
    relay = await (await Relay().join()).ready()
    relay.policy = relay.changes
    alice.jingle(bob.jid, "a3")
    await _arrive(bob, ["a1", "a2", "a3"])
    require(is_changed(bob.inbox[-1]), "not asked after it came")
    relay.close()
    await asyncio.sleep(0.3)
    alice.jingle(bob.jid, "a4")
    took.append(await _arrive(bob, ["a1", "a2", "a3", "a4"]))
    again = await (await Relay().join()).ready()
    again.policy = again.changes
    alice.jingle(bob.jid, "a5")
    await _arrive(bob, ["a1", "a2", "a3", "a4", "a5"])
    require(is_changed(bob.inbox[-1]), "not asked after it came back")
    require(max(took) < 500, f"without a relay it took {took} ms")
    return {"without_ms": took}


@scenario
async def cut_in_the_middle(stage):
    """The component's connection breaks while it holds requests, has answered some, and more come:
    ten times, each at another moment. Each request arrives once, in the order of its pair, soon."""
    alice, *bobs = await stage.users(*(f"r{n}" for n in range(10)))
    slowest, relayed = 0, 0
    for turn in range(10):
        relay = await (await Relay().join()).ready()
        relay.policy = lambda iq, o, r=relay: asyncio.get_running_loop().call_later(
            0.02 * (len(r.asked) % 5), lambda: r.closed or r.changes(iq, o))
        ids = [f"c{turn}-{n}" for n in range(20)]
        for n, number in enumerate(ids):
            for bob in bobs:
                alice.jingle(bob.jid, number)
            if n == 5:
                await alice.writer.drain()
                asyncio.get_running_loop().call_later(0.013 * turn, relay.close)
            if n % 4 == 3:
                await asyncio.sleep(0.01)
        for bob in bobs:
            slowest = max(slowest, await _arrive(bob, ids))
            relayed += sum(map(is_changed, filter(is_request, bob.inbox)))
        _empty(alice, *bobs)
    require(slowest < 1500, f"slowest: {slowest} ms")
    return {"requests": 2000, "relayed": relayed, "lost": 0, "doubled": 0, "slowest_ms": slowest}


# --- order ---

@scenario
async def order(stage):
    """While a request is with the relay, all that the same two send behind it waits, and nobody
    else's does; too many of them end the waiting."""
    alice, bob, other = await stage.users("x", "y")
    relay = await (await Relay().join()).ready()
    loop = asyncio.get_running_loop()
    relay.policy = lambda iq, o: o.get("to") == bob.jid and loop.call_later(
        0.05, relay.changes, iq, o) or o.get("to") == other.jid and relay.passes(iq, o)
    wanted = []
    for n in range(12):
        alice.jingle(bob.jid, f"o{n}")
        alice.write(f"<message to='{bob.jid}' id='t{n}'><body>{n}</body></message>")
        alice.write(f"<iq type='get' to='{bob.jid}' id='q{n}'><x xmlns='urn:y'/></iq>")
        wanted += [f"o{n}", f"t{n}", f"q{n}"]
    alice.jingle(other.jid, "p")
    quick = await _arrive(other, ["p"])
    await bob.until(lambda: len(bob.ids()) >= len(wanted), "all of it")
    require(bob.ids() == wanted, f"order: {bob.ids()}")
    require(quick < 300, f"another pair waited {quick} ms")
    _empty(alice, bob, other)
    relay.policy = None
    ids = [f"v{n}" for n in range(250)]
    for number in ids:
        alice.jingle(bob.jid, number)
    took = await _arrive(bob, ids)
    require(took <= 2600, f"250 requests took {took} ms")
    return {"other_pair_ms": quick, "overflow_ms": took}


# --- who may ---

@scenario
async def blocked(stage):
    """What a block stops is stopped, and the relay does not hear of it."""
    relay = await (await Relay().join()).ready()
    relay.policy = relay.changes
    alice, bob = await stage.users()

    async def set_block(user, kind, jid):
        user.write(f"<iq type='set' id='block'><{kind} xmlns='urn:xmpp:blocking'>"
                   f"<item jid='{jid}'/></{kind}></iq>")
        await user.take(lambda e: e.get("id") == "block" and e.get("type") == "result", kind)

    for blocker, blockee in ((bob, alice), (alice, bob)):
        await set_block(blocker, "block", f"{blockee.name}@{DOMAIN}")
        alice.jingle(bob.jid, "x1")
        await alice.take(lambda e: e.get("id") == "x1" and e.get("type") == "error", "a refusal")
        require(not bob.requests(), "a blocked user's request came")
        await set_block(blocker, "unblock", f"{blockee.name}@{DOMAIN}")
    require(not relay.asked, "the relay heard of it")
    alice.jingle(bob.jid, "x2")
    await _arrive(bob, ["x2"])
    require(len(relay.asked) == 1, "unblocked, and not asked")
    alice.jingle(f"bob@{DOMAIN}/nowhere", "x3")
    await alice.take(lambda e: e.get("id") == "x3" and e.get("type") == "error", "a bounce")
    require(len(relay.asked) == 1, "asked for somebody who is not there")


@scenario
async def other_servers(stage):
    """A user of another server calls in and is called; both are asked about, once each."""
    relay = await (await Relay().join()).ready()
    relay.policy = relay.changes
    alice, _ = await stage.users()
    remote = await Relay(jid=REMOTE).join(port=5348)
    carol = f"carol@{REMOTE}/x"
    remote.write(f"<iq type='set' id='in' from='{carol}' to='{alice.jid}'>"
                 f"<jingle xmlns='{JINGLE}' action='session-info' sid='s'/></iq>")
    await _arrive(alice, ["in"])
    require(is_changed(alice.inbox[-1]), "not asked on its way in")
    alice.jingle(carol, "out")
    out = await remote.take(lambda e: e.get("id") == "out", "the request")
    require(out.find(f"{{{JINGLE}}}jingle/{{urn:x}}relayed") is not None, "not asked on its way out")
    require(len(relay.asked) == 2, f"asked {len(relay.asked)} times")


@scenario
async def two_hosts(stage):
    """Two hosts of one server: with one relay it is asked once; with a relay each, both are, the
    sender's first."""
    relay = await Relay().join()
    alice = await User("alice").join()
    mark = "<other xmlns='urn:x'/>"
    await stage.ask_server(stage.server.add_host, OTHER, RELAY, "carol")
    carol = await User("carol", domain=OTHER).join()
    await relay.until(lambda: relay.probes >= 2, "both hosts' questions")
    await asyncio.sleep(0.2)
    relay.policy = relay.changes
    alice.jingle(carol.jid, "t1")
    await _arrive(carol, ["t1"])
    require([iq.get("from") for iq, _ in relay.asked] == [DOMAIN], "not asked once, by the sender's")
    await stage.ask_server(stage.server.add_host, OTHER, OTHER_RELAY, "dora")
    other = await (await Relay(jid=OTHER_RELAY).join(port=5348)).ready()
    other.policy = lambda iq, o: other.result(iq, divert(forwarded(changed(o, mark))))
    relay.asked.clear()
    for number, sender, receiver in (("t2", alice, carol), ("t3", carol, alice)):
        _empty(receiver)
        sender.jingle(receiver.jid, number)
        await _arrive(receiver, [number])
        marks = [e.tag for e in receiver.inbox[-1][0] if e.tag.startswith("{urn:x}")]
        wanted = ["{urn:x}relayed", "{urn:x}other"]
        require(marks == (wanted if sender is alice else wanted[::-1]), f"{number}: {marks}")
    require((len(relay.asked), len(other.asked)) == (2, 2), "not asked once each")


@scenario
async def chat_room(stage):
    """A call to an occupant of a chat room, whose real address the caller does not know: whatever
    the relay does with it, it arrives once, from the room, and so does its answer."""
    relay = await (await Relay().join()).ready()
    relay.policy = relay.changes
    alice, bob = await stage.users()
    room = f"room@conference.{DOMAIN}"
    for user in (alice, bob):
        user.write(f"<presence to='{room}/{user.name}'><x xmlns='http://jabber.org/protocol/muc'/>"
                   "</presence>")
        await user.take(lambda e, own=f"{room}/{user.name}": e.get("from") == own, "own presence")
    alice.write(f"<iq type='set' id='unlock' to='{room}'><query xmlns='{MUC_OWNER}'>"
                "<x xmlns='jabber:x:data' type='submit'/></query></iq>")
    await alice.take(lambda e: e.get("id") == "unlock", "the room's configuration")
    _empty(alice, bob)
    bob.answers = True
    alice.jingle(f"{room}/bob", "r1")
    await alice.take(lambda e: e.get("id") == "r1" and e.get("type") == "result", "the answer")
    got = [e.get("from") for e in bob.inbox if is_request(e)]
    require(got == [f"{room}/alice"], f"requests from {got}")
    return {"asked": len(relay.asked)}


# --- section 5 ---

@scenario
async def gone(stage):
    """The relay is told who left, once, if he had a request diverted; also when it was away then."""
    relay = await (await Relay().join()).ready()
    relay.policy = relay.passes
    alice, bob = await stage.users()
    idle = await User("bob", "idle").join()
    alice.jingle(bob.jid, "g1")
    await _arrive(bob, ["g1"])
    await idle.leave()
    await bob.leave()
    await relay.until(lambda: relay.gone, "that Bob is gone")
    relay.close()
    await asyncio.sleep(0.2)
    alice.close()
    await asyncio.sleep(0.5)
    again = await (await Relay().join()).ready()
    await again.until(lambda: again.gone, "that Alice is gone")
    await asyncio.sleep(0.3)
    require((relay.gone, again.gone) == ([bob.jid], [alice.jid]), f"{relay.gone}, {again.gone}")


# --- the module itself ---

@scenario
async def reload_and_stop(stage):
    """The module is configured anew, taken out and put in while it holds requests: all go on, once,
    and afterwards all is as before."""
    alice, bob = await stage.users()
    server, figures = stage.server, {}
    everything = server.configured
    held = [f"h{n}" for n in range(5)]
    slower = {"ejabberd": ("component:", "timeout: 30 s\n    component:"), "prosody": (
        "jingle_relay_component", "jingle_relay_timeout = 30; jingle_relay_component")}
    for what, text in (("reload", everything.replace(*slower[stage.name])),
                       ("stop", "{}\n"), ("start", everything)):
        relay = await (Relay().join())
        if what != "start":
            await relay.ready()
            for number in held:
                alice.jingle(bob.jid, number)
            await relay.until(lambda: relay.asked, "a request")
        changing = asyncio.ensure_future(stage.ask_server(server.configure, text))
        if what != "start":
            figures[what] = await _arrive(bob, held)
            _empty(alice, bob)
        await changing
        relay.policy = relay.changes
        if what != "stop":
            await relay.ready()
        alice.jingle(bob.jid, "after")
        await _arrive(bob, ["after"])
        require(is_changed(bob.inbox[-1]) == (what != "stop"), f"after {what}")
        _empty(alice, bob)
        relay.close()
        await asyncio.sleep(0.2)
    return {"went_on_after_ms": figures}


@scenario
async def whose_calls(stage):
    """Only the calls of those whom the option names are handed over, in whichever direction."""
    await stage.ask_server(stage.server.configure, stage.server.only("alice"))
    relay = await (await Relay().join()).ready()
    relay.policy = relay.changes
    alice, bob = await stage.users()
    remote = await Relay(jid=REMOTE).join(port=5348)
    remote.write(f"<iq type='set' id='in' from='carol@{REMOTE}/x' to='{bob.jid}'>"
                 f"<jingle xmlns='{JINGLE}' action='session-info' sid='s'/></iq>")
    await _arrive(bob, ["in"])
    require(not relay.asked, "asked about Bob's call")
    bob.jingle(alice.jid, "to")
    await _arrive(alice, ["to"])
    alice.jingle(bob.jid, "from")
    await _arrive(bob, ["in", "from"])
    require([o.get("id") for _, o in relay.asked] == ["to", "from"], "not asked about Alice's")
