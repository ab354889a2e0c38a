# SPDX-License-Identifier: ISC
"""Clients "channel" and "channel-aiortc": they ask a Jingle relay node for ports (XEP-0278) and use
them as Jitsi does: the requester sends everything to 'localport', the other party is offered
'remoteport', and RTCP has the next port of each.

Usage: channel.py plain|aiortc. "channel" is the client "plain" with two more transports,
channel-raw and channel-ice; the other gives aiortc's ICE a relayed candidate.
"""

import asyncio
import importlib
import secrets
import sys
import xml.etree.ElementTree as ET

import aioice
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import StunProtocol

from plain import COMPONENTS, PlainUser
from rpc import serve
from transports import RAW, IceTransport, RawTransport
from webrtc import WebRtcUser
from xmpp import element

NODES = "http://jabber.org/protocol/jinglenodes"
CHANNEL = f"{NODES}#channel"
ITEMS = "http://jabber.org/protocol/disco#items"
PREFIXES = ("relay", "jinglenodes", "jn", "jnodes")  # what Jitsi looks for


class Channel:
    """Two pairs of ports of a relay."""

    def __init__(self, answer):
        self.id = answer.get("id")
        self.host = answer.get("host")
        self.local, self.remote = int(answer.get("localport")), int(answer.get("remoteport"))
        self.expire = int(answer.get("expire"))

    def ours(self, component):
        return self.host, self.local + component - 1

    def theirs(self, component):
        return self.host, self.remote + component - 1


class NodesUser:
    """What a user of relay nodes asks; mixed into a JingleUser."""

    channels = ()

    async def _get(self, to, payload):
        iq = self.xmpp.make_iq_get(ito=to)
        iq.append(payload)
        return (await iq.send(timeout=10)).xml[0]

    async def find_relay(self):
        """As Jitsi does: the server's first item with such a name, then its first service."""
        items = await self._get(self.xmpp.boundjid.domain, ET.Element(f"{{{ITEMS}}}query"))
        names = [item.get("jid") for item in items if item.get("jid").startswith(PREFIXES)]
        services = await self._get(names[0], ET.Element(f"{{{NODES}}}services"))
        relays = [x.get("address") for x in services.iter(f"{{{NODES}}}relay")
                  if x.get("protocol") == "udp"]
        return relays[0]

    async def new_channel(self):
        request = ET.Element(f"{{{CHANNEL}}}channel", protocol="udp")
        channel = Channel(await self._get(await self.find_relay(), request))
        self.channels = (*self.channels, channel)
        return channel

    # --- what the driver asks ---

    async def channel(self):
        await self.new_channel()

    async def ports(self):
        """Of all channels so far: [id, localport, remoteport] each."""
        return [[c.id, c.local, c.remote] for c in self.channels]

    async def refused(self):
        """Asks for a channel, and returns the condition of the error that answers."""
        try:
            await self.new_channel()
        except Exception as error:
            return error.iq["error"]["condition"]


# --- ICE ---

class _Redirected:
    """A transport whose datagrams all go to one address, whatever ICE thinks."""

    def __init__(self, transport, address):
        self._transport, self._address = transport, address

    def sendto(self, data, _):
        self._transport.sendto(data, self._address)

    def __getattr__(self, name):
        return getattr(self._transport, name)


class _ChannelProtocol(StunProtocol):
    def __init__(self, receiver, address):
        super().__init__(receiver)
        self.address = address

    def connection_made(self, transport):
        super().connection_made(_Redirected(transport, self.address))


async def _relayed_candidate(connection, component, channel):
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_datagram_endpoint(
        lambda: _ChannelProtocol(connection, channel.ours(component)), local_addr=("0.0.0.0", 0))
    host, port = channel.theirs(component)
    protocol.local_candidate = Candidate(
        foundation=candidate_foundation("relay", "udp", host), component=component,
        transport="udp", priority=candidate_priority(component, "relay"), host=host, port=port,
        type="relay", related_address=host, related_port=port)
    connection._protocols.append(protocol)
    return protocol.local_candidate


def give_channels(user):
    """Every ICE connection of this process asks for a channel when it gathers."""
    plain = aioice.Connection.get_component_candidates

    async def gather(self, component, addresses, **options):
        candidates = await plain(self, component, addresses, **options)
        if not hasattr(self, "channel"):
            self.channel = asyncio.ensure_future(user.new_channel())
        return [*candidates, await _relayed_candidate(self, component, await self.channel)]

    aioice.Connection.get_component_candidates = gather


# --- raw UDP ---

class ChannelRaw(RawTransport):
    """What it describes is the other party's side of the channel; where it sends, its own."""

    def __init__(self, channel, *arguments):
        super().__init__(*arguments)
        self.channel = channel

    def describe(self, content):
        transport = element(content, RAW, "transport")
        for component in self.components:
            host, port = self.channel.theirs(component)
            element(transport, RAW, "candidate", component=component, generation=0, type="relay",
                    id=secrets.token_hex(5), ip=host, port=port)

    async def learn(self, transport):
        self.remote = {component: self.channel.ours(component) for component in self.components}


class PlainChannelUser(NodesUser, PlainUser):
    async def _new_transport(self, kind):
        arguments = self.initiator, COMPONENTS, lambda *data: self.media.received(*data)
        if kind == "channel-raw":
            transport = ChannelRaw(await self.new_channel(), *arguments)
        else:
            transport = IceTransport(*arguments)
        await transport.prepare()
        return transport


class AiortcChannelUser(NodesUser, WebRtcUser):
    pass


if __name__ == "__main__":
    if sys.argv[1] == "plain":
        me = PlainChannelUser()
    else:
        me = AiortcChannelUser(importlib.import_module("stack_aiortc").Stack)
    give_channels(me)
    serve(me)
