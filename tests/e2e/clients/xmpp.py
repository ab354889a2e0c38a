# SPDX-License-Identifier: ISC
"""A Jingle user (XEP-0166) on slixmpp: one session at a time, actions in and out.

A subclass gives on_initiate(), on_accept(), on_transport_info() and, where it can do more,
on_ACTION() for other actions; each gets the <jingle/> element and is called after the stanza was
acknowledged, in the order of arrival.
"""

import asyncio
import secrets
import sys
import traceback
import xml.etree.ElementTree as ET

import slixmpp
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

JINGLE = "urn:xmpp:jingle:1"


def element(parent, namespace, name, /, **attributes):
    """Adds a child; '_' in attribute names stands for '-'."""
    attributes = {k.replace("_", "-"): str(v) for k, v in attributes.items() if v is not None}
    tag = f"{{{namespace}}}{name}"
    return ET.Element(tag, attributes) if parent is None else ET.SubElement(parent, tag, attributes)


class JingleUser:
    def __init__(self):
        self.xmpp = None
        self.peer = self.sid = self.ended = None
        self.initiator = False
        self.kinds = None  # to answer with; None: what is offered
        self.seen = []
        self.inbox = asyncio.Queue()

    # --- what the driver asks ---

    async def connect(self, user, domain, server, resource):
        self.xmpp = slixmpp.ClientXMPP(f"{user}@{domain}/{resource}", f"{user}-pw")
        self.xmpp.use_aiodns = False  # it would wait for name servers that the lab has not
        self.xmpp.register_plugin("xep_0030")
        self.xmpp.register_handler(Callback(
            "jingle", MatchXPath(f"{{jabber:client}}iq/{{{JINGLE}}}jingle"), self._arrived))
        for direction in ("in", "out"):
            self.xmpp.add_filter(direction, lambda s, d=direction: self._note(d, s))
        started = asyncio.get_running_loop().create_future()
        self.xmpp.add_event_handler(
            "session_start", lambda _: started.done() or started.set_result(None))
        self.xmpp.connect((server, 5222), force_starttls=False, disable_starttls=True)
        await asyncio.wait_for(started, 20)
        self.xmpp.send_presence()
        self.worker = asyncio.ensure_future(self._work())
        return {"jid": self.xmpp.boundjid.full}

    async def answer(self, kinds=None):
        self.kinds = kinds

    async def stanzas(self):
        return self.seen

    async def hangup(self):
        jingle = self.jingle("session-terminate")
        element(element(jingle, JINGLE, "reason"), JINGLE, "success")
        self.ended = "success"
        asyncio.ensure_future(self.send(jingle))  # the other side may be out of reach

    async def disconnect(self):
        await self.xmpp.disconnect()

    # --- stanzas ---

    def _note(self, direction, stanza):
        if stanza is not None:
            self.seen.append([direction, str(stanza)])
        return stanza

    def jingle(self, action):
        """A <jingle/> of this session, still empty."""
        jingle = element(None, JINGLE, "jingle", action=action, sid=self.sid)
        if action == "session-initiate":
            jingle.set("initiator", self.xmpp.boundjid.full)
        if action == "session-accept":
            jingle.set("responder", self.xmpp.boundjid.full)
        return jingle

    async def send(self, jingle):
        """Sends an action and waits for its result; an error is raised."""
        iq = self.xmpp.make_iq_set(ito=self.peer)
        iq.append(jingle)
        await iq.send(timeout=10)

    def begin(self, peer):
        self.peer, self.sid = peer, secrets.token_hex(8)
        self.initiator, self.ended = True, None

    def _arrived(self, iq):
        if iq["type"] != "set":
            return
        jingle = iq.xml.find(f"{{{JINGLE}}}jingle")
        if jingle.get("action") == "session-initiate":
            self.peer, self.sid = iq["from"].full, jingle.get("sid")
            self.initiator, self.ended = False, None
        known = (self.peer, self.sid) == (iq["from"].full, jingle.get("sid"))
        reply = iq.reply(clear=True)
        if known:
            self.inbox.put_nowait(jingle)
        else:
            reply["type"] = "error"
            reply["error"]["condition"] = "item-not-found"
            element(reply["error"].xml, "urn:xmpp:jingle:errors:1", "unknown-session")
        reply.send()

    async def _work(self):
        while True:
            jingle = await self.inbox.get()
            action = jingle.get("action")
            if action == "session-terminate":
                reason = jingle.find(f"{{{JINGLE}}}reason")
                self.ended = "end" if reason is None else reason[0].tag.split("}")[1]
                continue
            name = action.removeprefix("session-").replace("-", "_")
            try:
                await getattr(self, f"on_{name}", self.on_other)(jingle)
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                self.ended = f"{type(error).__name__}: {error}"

    async def on_other(self, jingle):
        """An action that this client has no use for."""
