# SPDX-License-Identifier: ISC
"""SDP to Jingle contents and back, for stacks that speak SDP.

After XEP-0167 (RTP), XEP-0176 (ICE-UDP), XEP-0293 (feedback), XEP-0294 (header extensions),
XEP-0320 (DTLS), XEP-0338 (grouping) and XEP-0339 (sources).
"""

import re
import secrets

from xmpp import JINGLE, element

RTP = "urn:xmpp:jingle:apps:rtp:1"
ICE = "urn:xmpp:jingle:transports:ice-udp:1"
DTLS = "urn:xmpp:jingle:apps:dtls:0"
GROUP = "urn:xmpp:jingle:apps:grouping:0"
FEEDBACK = "urn:xmpp:jingle:apps:rtp:rtcp-fb:0"
EXTENSIONS = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0"
SOURCES = "urn:xmpp:jingle:apps:rtp:ssma:0"


class _Section:
    """The lines of one part of an SDP."""

    def __init__(self, text):
        self.lines = text.strip().splitlines()

    def all(self, name):
        """The values of a=NAME:VALUE lines."""
        start = f"a={name}:"
        return [line[len(start):] for line in self.lines if line.startswith(start)]

    def one(self, name, fallback=None):
        return next(iter(self.all(name)), fallback)


def _sections(sdp):
    session, *media = re.split(r"(?m)^(?=m=)", sdp.replace("\r", ""))
    return _Section(session), [_Section(text) for text in media]


# --- SDP to Jingle ---

def candidate_to_jingle(transport, text):
    """'text' is what follows "candidate:"."""
    words = text.removeprefix("candidate:").split()
    more = dict(zip(words[8::2], words[9::2]))
    element(transport, ICE, "candidate", foundation=words[0], component=words[1],
            protocol=words[2].lower(), priority=words[3], ip=words[4], port=words[5],
            type=words[7], generation=more.get("generation", 0), network=0,
            id=secrets.token_hex(5), rel_addr=more.get("raddr"), rel_port=more.get("rport"))


def transport_to_jingle(content, session, media):
    def of(name):
        return media.one(name) or session.one(name)
    transport = element(content, ICE, "transport", ufrag=of("ice-ufrag"), pwd=of("ice-pwd"))
    hash_name, _, value = of("fingerprint").partition(" ")
    element(transport, DTLS, "fingerprint", hash=hash_name, setup=of("setup")).text = value
    for text in media.all("candidate"):
        candidate_to_jingle(transport, text)
    return transport


def _payloads_to_jingle(description, media):
    feedback = [line.split() for line in media.all("rtcp-fb")]
    formats = dict(line.split(" ", 1) for line in media.all("fmtp"))
    for line in media.all("rtpmap"):
        number, _, codec = line.partition(" ")
        name, rate, *channels = codec.split("/")
        payload = element(description, RTP, "payload-type", id=number, name=name, clockrate=rate,
                          channels=channels[0] if channels else None)
        for parameter in filter(None, formats.get(number, "").split(";")):
            key, _, value = parameter.strip().partition("=")
            element(payload, RTP, "parameter", name=key, value=value)
        for target, kind, *subtype in feedback:
            if target == number:
                element(payload, FEEDBACK, "rtcp-fb", type=kind, subtype=" ".join(subtype) or None)


def _description_to_jingle(content, media):
    kind = media.lines[0].removeprefix("m=").split()[0]
    description = element(content, RTP, "description", media=kind)
    _payloads_to_jingle(description, media)
    if "a=rtcp-mux" in media.lines:
        element(description, RTP, "rtcp-mux")
    for line in media.all("extmap"):
        number, uri = line.split()[:2]
        element(description, EXTENSIONS, "rtp-hdrext", id=number, uri=uri)
    sources = {}
    for line in media.all("ssrc"):
        ssrc, _, attribute = line.partition(" ")
        if ssrc not in sources:
            sources[ssrc] = element(description, SOURCES, "source", ssrc=ssrc)
        key, _, value = attribute.partition(":")
        element(sources[ssrc], SOURCES, "parameter", name=key, value=value or None)


def to_jingle(jingle, sdp):
    """Adds the contents of an SDP to a <jingle/> element."""
    session, medias = _sections(sdp)
    for line in session.all("group"):
        semantics, *names = line.split()
        group = element(jingle, GROUP, "group", semantics=semantics)
        for name in names:
            element(group, GROUP, "content", name=name)
    for media in medias:
        content = element(jingle, JINGLE, "content", creator="initiator", senders="both",
                          name=media.one("mid"))
        _description_to_jingle(content, media)
        transport_to_jingle(content, session, media)


# --- Jingle to SDP ---

def candidate_to_sdp(candidate):
    get = candidate.get
    text = (f"candidate:{get('foundation')} {get('component')} {get('protocol')} {get('priority')}"
            f" {get('ip')} {get('port')} typ {get('type')}")
    if get("rel-addr"):
        text += f" raddr {get('rel-addr')} rport {get('rel-port')}"
    return f"{text} generation {get('generation', '0')}"


def _payload_to_sdp(payload):
    number, channels = payload.get("id"), payload.get("channels", "1")
    codec = f"{payload.get('name')}/{payload.get('clockrate')}"
    yield f"a=rtpmap:{number} {codec}" + (f"/{channels}" if channels != "1" else "")
    parameters = [f"{p.get('name')}={p.get('value')}" if p.get("name") else p.get("value")
                  for p in payload.findall(f"{{{RTP}}}parameter")]
    if parameters:
        yield f"a=fmtp:{number} {';'.join(parameters)}"
    for feedback in payload.findall(f"{{{FEEDBACK}}}rtcp-fb"):
        words = [feedback.get("type"), feedback.get("subtype")]
        yield f"a=rtcp-fb:{number} {' '.join(filter(None, words))}"


def _content_to_sdp(content):
    description = content.find(f"{{{RTP}}}description")
    transport = content.find(f"{{{ICE}}}transport")
    payloads = description.findall(f"{{{RTP}}}payload-type")
    numbers = " ".join(payload.get("id") for payload in payloads)
    yield f"m={description.get('media')} 9 UDP/TLS/RTP/SAVPF {numbers}"
    yield "c=IN IP4 0.0.0.0"
    yield f"a=mid:{content.get('name')}"
    yield "a=sendrecv"
    if description.find(f"{{{RTP}}}rtcp-mux") is not None:
        yield "a=rtcp-mux"
    for payload in payloads:
        yield from _payload_to_sdp(payload)
    for extension in description.findall(f"{{{EXTENSIONS}}}rtp-hdrext"):
        yield f"a=extmap:{extension.get('id')} {extension.get('uri')}"
    for source in description.findall(f"{{{SOURCES}}}source"):
        for p in source.findall(f"{{{SOURCES}}}parameter"):
            value = f":{p.get('value')}" if p.get("value") else ""
            yield f"a=ssrc:{source.get('ssrc')} {p.get('name')}{value}"
    yield f"a=ice-ufrag:{transport.get('ufrag')}"
    yield f"a=ice-pwd:{transport.get('pwd')}"
    fingerprint = transport.find(f"{{{DTLS}}}fingerprint")
    yield f"a=fingerprint:{fingerprint.get('hash')} {fingerprint.text.strip()}"
    yield f"a=setup:{fingerprint.get('setup')}"
    for candidate in transport.findall(f"{{{ICE}}}candidate"):
        yield f"a={candidate_to_sdp(candidate)}"


def to_sdp(jingle):
    """The SDP that the contents of a <jingle/> element describe."""
    lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0"]
    for group in jingle.findall(f"{{{GROUP}}}group"):
        names = " ".join(c.get("name") for c in group.findall(f"{{{GROUP}}}content"))
        lines.append(f"a=group:{group.get('semantics')} {names}")
    for content in jingle.findall(f"{{{JINGLE}}}content"):
        lines.extend(_content_to_sdp(content))
    return "\r\n".join(lines) + "\r\n"


def kinds(jingle):
    """The media that a <jingle/> element offers."""
    return [d.get("media") for d in jingle.iter(f"{{{RTP}}}description")]
