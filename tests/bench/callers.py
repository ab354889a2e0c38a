# SPDX-License-Identifier: ISC
"""Scripted Jingle clients, thousands of them: the users of a component (XEP-0114) that calls each
other through the relay's addressed door. User a<N> calls user b<N>, who accepts at once.

All stanzas pass the XMPP server, in both directions; to the relay the users are real JIDs of a
served domain. A call counts as set up when the initiator has the accept with the relay's candidate.
"""

import hashlib
import secrets
import time
from xml.parsers import expat

CLIENT_IP = {"a": "192.0.2.2", "b": "198.51.100.2"}

JINGLE = "urn:xmpp:jingle:1"
ICE = "urn:xmpp:jingle:transports:ice-udp:1"

# As an audio call of a WebRTC client looks.
OFFER = """<iq type='set' id='{id}' from='{from_}' to='{to}'>
<jingle xmlns='urn:xmpp:jingle:1' action='{action}' sid='{sid}' {role}='{from_}'>
<content creator='initiator' name='0' senders='both'>
<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>
<payload-type id='111' name='opus' clockrate='48000' channels='2'>
<parameter name='minptime' value='10'/><parameter name='useinbandfec' value='1'/></payload-type>
<payload-type id='8' name='PCMA' clockrate='8000'/>
<rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='4'
 uri='urn:ietf:params:rtp-hdrext:sdes:mid'/>
<rtcp-mux/></description>
<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='{ufrag}' pwd='{pwd}'>
<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='{setup}'>{print}</fingerprint>
<candidate component='1' foundation='1' generation='0' id='h{id}' ip='{ip}' network='0' port='{port}'
 priority='2130706431' protocol='udp' type='host'/></transport></content>
<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='0'/></group>
</jingle></iq>"""

END = """<iq type='set' id='{id}' from='{from_}' to='{to}'><jingle xmlns='urn:xmpp:jingle:1'
 action='session-terminate' sid='{sid}'><reason><success/></reason></jingle></iq>"""

INFO = """<iq type='result' id='{id}' from='{from_}' to='{to}'>
<query xmlns='http://jabber.org/protocol/disco#info'>
<identity category='client' type='pc' name='scripted'/><feature var='urn:xmpp:jingle:1'/>
<feature var='urn:xmpp:jingle:apps:rtp:1'/><feature var='urn:xmpp:jingle:apps:rtp:audio'/>
<feature var='urn:xmpp:jingle:transports:ice-udp:1'/></query></iq>"""


class Client:
    """One side of one call."""

    def __init__(self, jid, ip, port):
        self.jid = jid
        self.address = (ip, port)
        self.ufrag = secrets.token_hex(4)
        self.pwd = secrets.token_hex(12)
        self.relay = None  # the relay's candidate for this client
        self.peer = None   # the JID that this client sees

    def offer(self, action, sid, serial, to):
        print_ = ":".join(f"{byte:02X}" for byte in hashlib.sha256(self.jid.encode()).digest())
        starts = action == "session-initiate"
        return OFFER.format(
            id=f"{action[8:9]}{serial}", from_=self.jid, to=to, action=action, sid=sid,
            role="initiator" if starts else "responder", ufrag=self.ufrag, pwd=self.pwd,
            setup="actpass" if starts else "active", print=print_, ip=self.address[0],
            port=self.address[1])


class Call:
    def __init__(self, index, domain, relay, first_port):
        self.index = index
        self.sid = f"s{index}-{secrets.token_hex(6)}"
        self.a, self.b = (Client(f"{side}{index}@{domain}/phone", CLIENT_IP[side],
                                 first_port + index) for side in "ab")
        self.a.peer = f"b{index}\\40{domain}@{relay}/phone"
        self.ended = False
        self.began = self.offered = self.accepted = None  # times

    def line(self):
        """The call as rtpload reads it."""
        return " ".join(f"{c.relay[0]} {c.relay[1]} {c.ufrag} {c.pwd}" for c in (self.a, self.b))


class Reader:
    """The component's stream as stanzas: lists of (name, attributes), the stanza itself first."""

    def __init__(self, on_stanza):
        self.on_stanza = on_stanza
        self.depth = 0
        self.elements = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def feed(self, data):
        self.parser.Parse(data)

    def _start(self, name, attributes):
        self.depth += 1
        self.elements.append((name, attributes))
        if self.depth == 1:  # the stream's own head
            self.on_stanza(self.elements)
            self.elements = []

    def _end(self, _):
        self.depth -= 1
        if self.depth == 1:
            self.on_stanza(self.elements)
            self.elements = []


class Callers:
    """The component. connect() is a function that gives a connected socket."""

    def __init__(self, connect, domain, relay, relay_ip, secret, first_port):
        self.domain, self.relay, self.relay_ip, self.secret = domain, relay, relay_ip, secret
        self.first_port = first_port
        self.calls = []   # all that were set up, by index
        self.by_sid = {}
        self.errors = []
        self.out = []
        self.serial = 0
        self.waiting = 0  # calls under way
        self.ready = False
        self.socket = connect()
        self.socket.settimeout(10)
        self.reader = Reader(self._on_stanza)
        self._put(f"<stream:stream xmlns='jabber:component:accept' xmlns:stream="
                  f"'http://etherx.jabber.org/streams' to='{domain}'>")
        self._work(lambda: self.ready, 10)

    def close(self):
        self.socket.close()

    # --- what is asked for from outside ---

    def set_up(self, total, window=32, patience=120):
        """Opens calls until there are 'total'; returns the new ones. At most 'window' at a time are
        under way."""
        before = len(self.calls)

        def enough():
            while self.waiting < window and len(self.calls) < total:
                self._begin(len(self.calls))
            return self.waiting == 0
        self._work(enough, patience)
        return self.calls[before:]

    def end_all(self, window=64, patience=60):
        """The initiators hang up."""
        left = list(reversed(self.calls))

        def enough():
            while self.waiting < window and left:
                call = left.pop()
                self.waiting += 1
                self._put(END.format(id=self._id("e"), from_=call.a.jid, to=call.a.peer,
                                     sid=call.sid))
            return self.waiting == 0
        self._work(enough, patience)
        self.calls, self.by_sid = [], {}

    # --- the stream ---

    def _put(self, text):
        self.out.append(text)

    def _id(self, prefix):
        self.serial += 1
        return f"{prefix}{self.serial}"

    def _work(self, enough, patience):
        """Writes and reads until enough() says so."""
        end = time.monotonic() + patience
        while not enough() or self.out:
            if self.errors:
                raise RuntimeError(f"{len(self.errors)} errors, the first: {self.errors[0]}")
            if time.monotonic() > end:
                raise TimeoutError(f"{self.waiting} calls still under way after {patience} s")
            if self.out:
                text, self.out = "".join(self.out), []
                self.socket.sendall(text.encode())
                continue
            data = self.socket.recv(1 << 18)
            if not data:
                raise RuntimeError("the XMPP server closed the stream")
            self.reader.feed(data)

    def _on_stanza(self, elements):
        name, attributes = elements[0]
        local = name.rpartition(" ")[2]
        if local == "stream":
            digest = hashlib.sha1((attributes["id"] + self.secret).encode()).hexdigest()
            self._put(f"<handshake>{digest}</handshake>")
        elif local == "handshake":
            self.ready = True
        elif local == "iq":
            self._on_iq(attributes, elements[1:])
        else:
            self.errors.append(f"{local} {elements[1:3]}")

    def _on_iq(self, iq, elements):
        if iq["type"] == "error":
            self.errors.append(f"error for {iq['to']} from {iq['from']}: {elements}")
        elif iq["type"] == "get":
            self._put(INFO.format(id=iq["id"], from_=iq["to"], to=iq["from"]))
        elif iq["type"] == "set":
            self._put(f"<iq type='result' id='{iq['id']}' from='{iq['to']}' to='{iq['from']}'/>")
            self._on_jingle(iq, elements)

    # --- calls ---

    def _begin(self, index):
        call = Call(index, self.domain, self.relay, self.first_port)
        self.calls.append(call)
        self.by_sid[call.sid] = call
        self.waiting += 1
        call.began = time.monotonic()
        self._put(call.a.offer("session-initiate", call.sid, self._id("i"), call.a.peer))

    def _on_jingle(self, iq, elements):
        jingle = next(attributes for name, attributes in elements if name == f"{JINGLE} jingle")
        call, action = self.by_sid[jingle["sid"]], jingle["action"]
        if action == "session-initiate":
            call.offered = time.monotonic()
            call.b.relay, call.b.peer = self._candidate(elements), iq["from"]
            self._put(call.b.offer("session-accept", call.sid, self._id("a"), call.b.peer))
        elif action == "session-accept":
            call.a.relay = self._candidate(elements)
            call.accepted = time.monotonic()
            self.waiting -= 1
        elif action == "session-terminate":
            call.ended = True
            self.waiting -= 1

    def _candidate(self, elements):
        """The relay's candidate of component 1; without one the call cannot be carried."""
        for name, attributes in elements:
            if (name == f"{ICE} candidate" and attributes["ip"] == self.relay_ip
                    and attributes["component"] == "1"):
                return attributes["ip"], int(attributes["port"])
        self.errors.append("a stanza without the relay's candidate")
        return None
