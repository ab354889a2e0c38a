# SPDX-License-Identifier: ISC
"""Answers of XEP-0215, read the way that clients read them.

Each reader takes the list of services and gives {URI: (username, password)} of those that its
client would use; for STUN both are None. The rules are those of the clients' sources, and only as
strict or careless as they are.
"""

import datetime
import ipaddress
import xml.etree.ElementTree as ET

EXTDISCO = "urn:xmpp:extdisco:2"
STUN, TURN = ("stun", "stuns"), ("turn", "turns")


def parse(xml, name="services", namespace=EXTDISCO):
    """The services of an answer, each as its attributes; none where they are called otherwise."""
    found = ET.fromstring(xml).find(f".//{{{namespace}}}{name}")
    return [dict(service.attrib) for service in found or ()]


def _uri(service, host=None, transport=True):
    query = f"?transport={service['transport']}" if transport and service.get("transport") else ""
    return f"{service['type']}:{host or service['host']}:{service['port']}{query}"


def _login(service):
    if service["type"] in STUN:
        return None, None
    return service.get("username"), service.get("password")


def conversations(services):
    """A service without transport is passed over, as is TLS on anything but TCP, and TURN without a
    login. IPv6 literals get brackets."""
    used = {}
    for service in services:
        if service.get("type") not in STUN + TURN or service.get("transport") not in ("udp", "tcp"):
            continue
        if not service.get("host") or not 0 < int(service.get("port", -1)) < 65536:
            continue
        if service["type"].endswith("s") and service["transport"] != "tcp":
            continue
        if service["type"] in TURN and None in _login(service):
            continue
        host = f"[{service['host']}]" if ":" in service["host"] else service["host"]
        used[_uri(service, host, transport=service["type"] in TURN)] = _login(service)
    return used


def dino(services, addresses):
    """UDP only, and only where the name (ADDRESSES tells of what) has an IPv4 address that is not
    private. The list is asked for again after half of the time that the first entry has left."""
    used = {}
    for service in services:
        if service.get("transport") != "udp" or service.get("type") not in ("stun", "turn"):
            continue
        address = ipaddress.IPv4Address(addresses[service["host"]])
        documentation = address in ipaddress.ip_network("203.0.113.0/24")  # the lab's internet
        if address.is_private and not documentation:
            continue
        used[_uri(service)] = _login(service)
    return used


def monal(services, credentials):
    """Every entry is asked for once more as <credentials/>, and the first that comes is laid over
    it; a TURN entry that has no login then keeps calls waiting. IPv4 literals get brackets, which
    libwebrtc does not take."""
    used = {}
    for service in services:
        if service.get("type") not in STUN + TURN:
            continue
        if _is_literal(service["host"]):
            raise ValueError(f"Monal cannot use an address: {service}")
        answers = credentials(service)
        service = {**service, **(answers[0] if answers else {})}
        if service["type"] in TURN and None in _login(service):
            raise ValueError(f"Monal waits for ever for a login to {service}")
        used[_uri(service, transport=service["type"] in TURN)] = _login(service)
    return used


def siskin(services):
    """TLS on TCP only; TURN with a username only."""
    return {_uri(service, transport=service["type"] in TURN): _login(service)
            for service in services
            if service.get("type") in STUN + TURN
            and (not service["type"].endswith("s") or service.get("transport") == "tcp")
            and (service["type"] in STUN or service.get("username"))}


def expires(service):
    """The time at which a login ends (XEP-0082), in seconds."""
    text = service["expires"]
    if not text.endswith("Z"):
        raise ValueError(f"not in UTC: {text}")
    return datetime.datetime.fromisoformat(text[:-1] + "+00:00").timestamp()


def _is_literal(host):
    try:
        ipaddress.ip_address(host)
        return True
    except ValueError:
        return False
