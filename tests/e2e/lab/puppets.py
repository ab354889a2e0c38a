# SPDX-License-Identifier: ISC
"""XMPP entities that do exactly what a test tells them: users, and a component that plays the relay.

Raw streams, so that nothing is repaired, retried or answered by a library. Stanzas are bytes on
their way out and elements on their way in; each entity keeps what it got in its inbox.
"""

import asyncio
import base64
import contextlib
import hashlib
import xml.etree.ElementTree as ET

from .servers import DOMAIN, RELAY, SECRET

DIVERT = "urn:xmpp:jingle-relayd:divert:1"
JINGLE = "urn:xmpp:jingle:1"
DISCO = "http://jabber.org/protocol/disco#info"
CAN = (JINGLE, "urn:xmpp:jingle:apps:rtp:1", "urn:xmpp:jingle:transports:ice-udp:1")
STREAM = "{http://etherx.jabber.org/streams}"
CLIENT = "{jabber:client}"
PATIENCE = 10


class Stream:
    """One XML stream; stanzas arrive in order in the inbox."""

    def __init__(self, namespace):
        self.namespace = namespace
        self.inbox = []
        self.arrived = asyncio.Event()
        self.closed = False
        self.header_more = ""  # of attributes in the header of the stream

    async def open(self, host, port, to):
        self.to = to
        self.reader, self.writer = await asyncio.open_connection(host, port)
        self.restart()
        self.pump = asyncio.ensure_future(self._read())

    def restart(self):
        """A new stream on the same connection, as after SASL."""
        self.parser = ET.XMLPullParser(("start", "end"))
        self.depth, self.header = 0, None
        self.write(f"<?xml version='1.0'?><stream:stream xmlns='{self.namespace}' version='1.0' "
                   f"xmlns:stream='http://etherx.jabber.org/streams' to='{self.to}' "
                   f"{self.header_more}>")

    def write(self, text):
        self.writer.write(text.encode())

    async def _read(self):
        # What is no XML ends the stream for this side, as it does for any client.
        with contextlib.suppress(ConnectionError, asyncio.CancelledError, ET.ParseError):
            while data := await self.reader.read(65536):
                self.parser.feed(data)
                for event, element in list(self.parser.read_events()):
                    self._note(event, element)
                self.arrived.set()
        self.closed = True
        self.arrived.set()

    def _note(self, event, element):
        self.depth += 1 if event == "start" else -1
        if event == "start" and self.depth == 1:
            self.header = element
        if event == "end" and self.depth == 1:
            self.got(element)

    def got(self, element):
        self.inbox.append(element)

    async def until(self, condition, what, patience=PATIENCE):
        """Waits until the condition gives something true, which it returns."""
        async def poll():
            while not (value := condition()):
                if self.closed:
                    raise ConnectionError(f"{self.to} closed the stream: waited for {what}")
                self.arrived.clear()
                await self.arrived.wait()
            return value
        try:
            return await asyncio.wait_for(poll(), patience)
        except asyncio.TimeoutError:
            raise TimeoutError(f"{what}: not within {patience} s; got "
                               f"{[ET.tostring(e, 'unicode') for e in self.inbox[-4:]]}") from None

    async def take(self, matches, what, patience=PATIENCE):
        """The first stanza that matches, out of the inbox."""
        found = await self.until(lambda: [e for e in self.inbox if matches(e)], what, patience)
        self.inbox.remove(found[0])
        return found[0]

    def close(self):
        """The connection is cut, as by a crash."""
        self.pump.cancel()
        self.writer.transport.abort()


class User(Stream):
    """A client that answers nothing by itself, except where 'answers' is set: then it gives Jingle
    requests an empty result at once, and tells who asks what it can do."""

    def __init__(self, name, resource="x", domain=DOMAIN):
        super().__init__("jabber:client")
        self.name, self.domain, self.resource = name, domain, resource
        self.jid = f"{name}@{domain}/{resource}"
        self.answers = False

    async def log_in(self, host):
        await self.open(host, 5222, self.domain)
        await self.take(lambda e: e.tag == f"{STREAM}features", "features")
        login = base64.b64encode(f"\0{self.name}\0{self.name}-pw".encode()).decode()
        self.write("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>"
                   f"{login}</auth>")
        await self.take(lambda e: e.tag.endswith("}success"), "success of SASL")
        self.restart()
        await self.take(lambda e: e.tag == f"{STREAM}features", "features")

    async def join(self, host="127.0.0.1"):
        await self.log_in(host)
        self.write("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                   f"<resource>{self.resource}</resource></bind></iq>"
                   "<iq type='set' id='session'>"
                   "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>")
        await self.take(lambda e: e.get("id") == "session", "result of session")
        self.write("<presence/>")
        await self.take(lambda e: e.tag == f"{CLIENT}presence", "own presence")
        self.inbox.clear()  # others of our own may follow
        return self

    def got(self, element):
        if self.answers and element.find(f"{{{DISCO}}}query") is not None:
            self.result(element, f"<query xmlns='{DISCO}'>" + "".join(
                f"<feature var='{feature}'/>" for feature in CAN) + "</query>")
            return
        super().got(element)
        if self.answers and is_request(element):
            self.result(element, "")

    def result(self, iq, payload):
        self.write(f"<iq type='result' id='{iq.get('id')}' to='{iq.get('from')}'>{payload}</iq>")

    def jingle(self, to, number, action="session-info", sid="s", more=""):
        """Sends a Jingle request whose id is NUMBER."""
        self.write(f"<iq type='set' id='{number}' to='{to}'>"
                   f"<jingle xmlns='{JINGLE}' action='{action}' sid='{sid}'>{more}</jingle></iq>")

    def ids(self):
        """The ids of what came so far, in order, without presence."""
        return [e.get("id") for e in self.inbox if e.tag != f"{CLIENT}presence"]

    def requests(self):
        """The ids of the Jingle requests so far, in order."""
        return [e.get("id") for e in self.inbox if is_request(e)]

    async def leave(self):
        self.write("<presence type='unavailable'/></stream:stream>")
        await self.writer.drain()
        self.writer.close()


def is_request(element):
    return element.get("type") == "set" and element.find(f"{{{JINGLE}}}jingle") is not None


class Relay(Stream):
    """The component. What it is asked is in 'asked', [(iq, original stanza)]; it answers by
    policy(iq, original), which may be None for silence."""

    def __init__(self, features=(DIVERT, JINGLE), policy=None, jid=RELAY):
        super().__init__("jabber:component:accept")
        self.features, self.policy, self.jid = features, policy, jid
        self.asked, self.gone, self.probes = [], [], 0

    async def join(self, host="127.0.0.1", port=5347):
        await self.open(host, port, self.jid)
        await self.until(lambda: self.header is not None, "header")
        text = self.header.get("id") + SECRET
        self.write(f"<handshake>{hashlib.sha1(text.encode()).hexdigest()}</handshake>")
        await self.take(lambda e: e.tag.endswith("}handshake"), "handshake")
        return self

    async def ready(self):
        """Until the server knows what we can do; its question is answered at once."""
        await self.until(lambda: self.probes, "the server's disco#info")
        await asyncio.sleep(0.2)
        return self

    def got(self, element):
        body = element[0] if len(element) else None
        if body is None or element.get("type") not in ("get", "set"):
            super().got(element)
        elif body.tag == f"{{{DISCO}}}query":
            self.probes += 1
            listed = "".join(f"<feature var='{f}'/>" for f in self.features)
            self.result(element, f"<query xmlns='{DISCO}'>{listed}</query>")
        elif body.tag == f"{{{DIVERT}}}gone":
            self.gone.append(body.get("jid"))
            self.result(element, "")
        elif body.tag == f"{{{DIVERT}}}divert":
            original = body[0][0]
            self.asked.append((element, original))
            if self.policy:
                self.policy(element, original)
        else:
            super().got(element)

    def result(self, iq, payload, kind="result"):
        self.write(f"<iq type='{kind}' id='{iq.get('id')}' from='{iq.get('to')}' "
                   f"to='{iq.get('from')}'>{payload}</iq>")

    # --- answers ---

    def passes(self, iq, _original):
        self.result(iq, divert("<pass/>"))

    def changes(self, iq, original):
        """The original with an element more."""
        self.result(iq, divert(forwarded(changed(original))))


def divert(content):
    return f"<divert xmlns='{DIVERT}'>{content}</divert>"


def forwarded(*stanzas):
    return "".join(f"<forwarded xmlns='urn:xmpp:forward:0'>{s}</forwarded>" for s in stanzas)


def changed(original, mark="<relayed xmlns='urn:x'/>", **attributes):
    """The stanza as text, with MARK added to its payload, and attributes replaced."""
    known = {name: original.get(name) for name in ("type", "id", "from", "to")}
    known.update({name.rstrip("_"): value for name, value in attributes.items()})
    payload = original.find(f"{{{JINGLE}}}jingle")
    inner = "".join(ET.tostring(child, "unicode") for child in payload)
    listed = " ".join(f"{name}='{value}'" for name, value in known.items())
    return (f"<iq xmlns='jabber:client' {listed}><jingle xmlns='{JINGLE}' "
            f"action='{payload.get('action')}' sid='{payload.get('sid')}'>{inner}{mark}</jingle>"
            "</iq>")


def is_changed(element):
    return element.find(f"{{{JINGLE}}}jingle/{{urn:x}}relayed") is not None
