# SPDX-License-Identifier: ISC
"""What any user may write, and what must not reach the relay as it is: names that a server writes on
so that no parser takes them, and thousands of elements. A real server with our module, between users
and a relay whose stream ends with the first wrong name (lab/puppets.py).
"""

import asyncio
import xml.etree.ElementTree as ET

from lab.call import require
from lab.puppets import JINGLE, Relay, User, is_changed
from lab.servers import RELAY
from lab.stage import SERVERS, Stage

SCENARIOS = {}


def scenario(function):
    """Registers a coroutine function as one scenario per server."""
    for server in SERVERS:
        SCENARIOS[f"divert-odd-{server}-{function.__name__}"] = function, server
    return function


def run(name, _daemon, logs=None):
    function, server = SCENARIOS[name]
    with Stage(server, logs) as stage:
        return stage.network.inside("srv", lambda: asyncio.run(function(stage))) or {}


# What a user may write, and no server may write on as it likes: the namespace of "xml:" has no other
# prefix, and others have one where the user has declared it, be it in the header of its stream.
HEADER = "xmlns:q='urn:q'"
ODD = ("<x xmlns='urn:y' xml:foo='1' xml:lang='de' xmlns:p='urn:p' p:bar='2'>{}</x>",
       "<xml:y/>", "<w q:v='1'/>", "<q:w/>", "<p:z/>")


def _is_as_sent(x, inner):
    """No name means something else than to who wrote it."""
    wanted = ET.fromstring(f"<x {HEADER}>{ODD[0].format(inner)}</x>")[0]
    return (x is not None and (x.tag, x.attrib) == (wanted.tag, wanted.attrib)
            and [(y.tag, y.attrib) for y in x] == [(y.tag, y.attrib) for y in wanted])


@scenario
async def names(stage):
    """Names that end the stream of whoever gets them if they are written wrong, in what is diverted
    and in what is sent straight to the relay: it gets them as they are, or not at all."""
    relay = await (await Relay().join()).ready()
    relay.policy = relay.passes
    _, bob = await stage.users()
    writer = User("alice", "odd")
    writer.header_more = HEADER
    await writer.join()
    sent, readers = {}, []
    for number, inner in enumerate(ODD[1:]):
        odd = ODD[0].format(inner)
        readers.append(await User("bob", f"r{number}").join())  # the server may end its stream
        writer.jingle(readers[-1].jid, f"j{number}", more=odd)
        for kind, name in (("i", "iq type='get'"), ("m", "message"), ("p", "presence")):
            for place, to in enumerate((RELAY, f"y@{RELAY}", f"y@{RELAY}/z")):
                sent[f"{kind}{number}{place}"] = inner
                writer.write(f"<{name} id='{kind}{number}{place}' to='{to}'>{odd}"
                             f"</{name.split()[0]}>")
        writer.jingle(bob.jid, f"k{number}")
        await bob.until(lambda n=number: f"k{n}" in bob.requests(), "another call")
        require(f"k{number}" in [o.get("id") for _, o in relay.asked], f"it is away after {inner}")
    await asyncio.sleep(0.2)
    asked = {o.get("id"): o.find(f"{{{JINGLE}}}jingle/{{urn:y}}x") for _, o in relay.asked}
    for number, inner in enumerate(ODD[1:]):
        if f"j{number}" in asked:
            require(_is_as_sent(asked[f"j{number}"], inner), f"asked about {inner}")
    got = {e.get("id"): e.find("{urn:y}x") for e in relay.inbox if e.get("id") in sent}
    for identity, x in got.items():
        require(_is_as_sent(x, sent[identity]), f"{identity}: {sent[identity]}")
    require(f"j{number}" in asked and f"i{number}0" in got, f"not even {inner}")
    return {"asked": len(asked) - len(ODD[1:]), "of": len(ODD[1:]), "got": len(got),
            "sent": len(sent)}


@scenario
async def sizes(stage):
    """A stanza of thousands of elements goes on without the relay; one of hundreds with it."""
    relay = await (await Relay().join()).ready()
    relay.policy = relay.changes
    alice, bob = await stage.users()
    for number, count in enumerate((900, 2500, 20000)):
        alice.jingle(bob.jid, f"e{number}", more="<a/>" * count)
        alice.jingle(bob.jid, f"f{number}", more="<a><b/></a>" * (count // 2))
    wanted = [f"{kind}{number}" for number in range(3) for kind in "ef"]
    await bob.until(lambda: bob.requests() == wanted, f"requests {wanted}")
    require([o.get("id") for _, o in relay.asked] == ["e0", "f0"],
            f"asked: {[o.get('id') for _, o in relay.asked]}")
    alice.jingle(bob.jid, "last")
    await bob.until(lambda: bob.requests()[-1] == "last", "the last")
    require(is_changed(bob.inbox[-1]), "not asked any more")
