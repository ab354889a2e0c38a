# SPDX-License-Identifier: ISC
"""STUN messages (RFC 8489) as bytes and back, independent of the daemon's code on purpose.

A test must be able to say wrong things, so that building is a list of attributes with options for
every way to be wrong, and reading keeps what a tolerant reader would throw away: paddings, the
order, what follows the integrity.
"""

import base64
import enum
import hashlib
import hmac
import ipaddress
import os
import struct
import zlib

MAGIC = 0x2112A442
COOKIE = struct.pack("!I", MAGIC)
REQUEST, INDICATION, SUCCESS, ERROR = range(4)
CLASSES = ("request", "indication", "success", "error")



class M(enum.IntEnum):
    """Methods."""
    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND = 0x006
    DATA = 0x007
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009
    CONNECT = 0x00A  # RFC 6062
    CONNECTION_BIND = 0x00B
    CONNECTION_ATTEMPT = 0x00C


class A(enum.IntEnum):
    """Attributes."""
    MAPPED_ADDRESS = 0x0001
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_ADDRESS_FAMILY = 0x0017
    EVEN_PORT = 0x0018
    REQUESTED_TRANSPORT = 0x0019
    DONT_FRAGMENT = 0x001A
    MESSAGE_INTEGRITY_SHA256 = 0x001C
    PASSWORD_ALGORITHM = 0x001D
    USERHASH = 0x001E
    XOR_MAPPED_ADDRESS = 0x0020
    RESERVATION_TOKEN = 0x0022
    CONNECTION_ID = 0x002A  # RFC 6062
    ADDITIONAL_ADDRESS_FAMILY = 0x8000
    ADDRESS_ERROR_CODE = 0x8001
    PASSWORD_ALGORITHMS = 0x8002
    ICMP = 0x8004
    SOFTWARE = 0x8022
    FINGERPRINT = 0x8028
    MOBILITY_TICKET = 0x8030  # RFC 8016


MD5, SHA256 = 1, 2  # password algorithms, RFC 8489 section 18.5
UDP, TCP = 17, 6
IPV4, IPV6 = 1, 2


class Malformed(Exception):
    """Bytes that are no STUN message."""


def name(kind, number):
    """CREATE-PERMISSION, LIFETIME, or the number itself."""
    try:
        return kind(number).name.replace("_", "-")
    except ValueError:
        return f"{number:#06x}"


# --- values of attributes -------------------------------------------------------------------------

def u32(number):
    return struct.pack("!I", number)


def u8(number, rest=b"\0\0\0"):
    """A number in the first byte: transports, families."""
    return bytes([number]) + rest


def xor_address(address, txid, first=0):
    """(host, port) as XOR-MAPPED-ADDRESS and its like."""
    ip = ipaddress.ip_address(address[0])
    family = IPV4 if ip.version == 4 else IPV6
    mask = COOKIE if ip.version == 4 else COOKIE + txid
    packed = bytes(a ^ b for a, b in zip(ip.packed, mask))
    return struct.pack("!BBH", first, family, address[1] ^ (MAGIC >> 16)) + packed


def read_address(value, txid=None):
    """(host, port) out of an address attribute, XORed if a transaction id is given."""
    if len(value) < 4 or (value[1], len(value)) not in ((IPV4, 8), (IPV6, 20)):
        raise Malformed(f"address {value.hex()}")
    port = struct.unpack("!H", value[2:4])[0]
    packed = value[4:]
    if txid is not None:
        port ^= MAGIC >> 16
        packed = bytes(a ^ b for a, b in zip(packed, COOKIE + txid))
    return str(ipaddress.ip_address(packed)), port


def channel(number, rffu=0):
    return struct.pack("!HH", number, rffu)


def algorithm(number):
    return struct.pack("!HH", number, 0)


# --- keys -----------------------------------------------------------------------------------------

def long_term_key(user, realm, password, which=MD5):
    digest = hashlib.md5 if which == MD5 else hashlib.sha256
    return digest(f"{user}:{realm}:{password}".encode()).digest()


def userhash(user, realm):
    return hashlib.sha256(f"{user}:{realm}".encode()).digest()


def rest_credentials(secret, identity, expiry):
    """The TURN REST scheme: whoever has the secret makes them."""
    user = f"{expiry}:{identity}"
    digest = hmac.new(secret.encode(), user.encode(), hashlib.sha1).digest()
    return user, base64.b64encode(digest).decode()


# --- writing --------------------------------------------------------------------------------------

def message_type(method, klass):
    return ((method & 0xF80) << 2 | (method & 0x070) << 1 | (method & 0x00F)
            | (klass & 2) << 7 | (klass & 1) << 4)


def header(method, klass, length, txid, cookie=COOKIE):
    return struct.pack("!HH", message_type(method, klass), length) + cookie + txid


def attribute(kind, value, padding=b"\0", length=None):
    """Type, length, value, and as much padding as it takes."""
    value = bytes(value)
    pad = (padding * 4)[:-len(value) % 4]
    return struct.pack("!HH", kind, len(value) if length is None else length) + value + pad


def build(method, klass, attributes=(), txid=None, *, key=None, integrity=("sha1",), after=(),
          fingerprint=None, padding=b"\0", cookie=COOKIE):
    """A message. With a key, its integrities follow the attributes in the order given ("sha1",
    "sha256", "sha256-16" for one of 16 bytes, "bad-sha1", "bad-sha256"); then what stands in
    'after'; then FINGERPRINT if it is "right" or "wrong"."""
    txid = os.urandom(12) if txid is None else txid
    body = b"".join(attribute(kind, value, padding) for kind, value in attributes)
    for which in integrity if key is not None else ():
        body += _integrity(method, klass, body, txid, key, which, cookie)
    body += b"".join(attribute(kind, value, padding) for kind, value in after)
    if fingerprint:
        head = header(method, klass, len(body) + 8, txid, cookie)
        crc = zlib.crc32(head + body) ^ 0x5354554E
        body += attribute(A.FINGERPRINT, u32(crc ^ (fingerprint == "wrong")))
    return header(method, klass, len(body), txid, cookie) + body


def _integrity(method, klass, body, txid, key, which, cookie):
    bad = which.startswith("bad-")
    how, _, cut = which.removeprefix("bad-").partition("-")
    size = int(cut or {"sha1": 20, "sha256": 32}[how])
    head = header(method, klass, len(body) + 4 + size, txid, cookie)
    digest = hmac.new(key, head + body, how).digest()[:size]
    if bad:
        digest = digest[:-1] + bytes([digest[-1] ^ 1])
    return attribute(A.MESSAGE_INTEGRITY if how == "sha1" else A.MESSAGE_INTEGRITY_SHA256, digest)


def channel_data(number, data, length=None, pad=False):
    frame = struct.pack("!HH", number, len(data) if length is None else length) + data
    return frame + b"\0" * (-len(frame) % 4) if pad else frame


# --- reading --------------------------------------------------------------------------------------

class Message:
    """A message as it came. attributes: (type, value, padding, offset of the attribute)."""

    def __init__(self, data):
        if len(data) < 20 or data[0] & 0xC0:
            raise Malformed("no header")
        kind, self.length = struct.unpack("!HH", data[:4])
        self.raw = bytes(data)
        self.cookie = self.raw[4:8]
        self.txid = self.raw[8:20]
        self.klass = (kind >> 7 & 2) | (kind >> 4 & 1)
        self.method = (kind >> 2 & 0xF80) | (kind >> 1 & 0x070) | (kind & 0x00F)
        self.attributes = []
        at = 20
        while at < len(data):
            if at + 4 > len(data):
                raise Malformed("attribute header cut short")
            number, size = struct.unpack("!HH", data[at:at + 4])
            end = at + 4 + size + -size % 4
            if end > len(data):
                raise Malformed("attribute longer than its message")
            self.attributes.append((number, self.raw[at + 4:at + 4 + size],
                                    self.raw[at + 4 + size:end], at))
            at = end

    def has(self, kind):
        return any(number == kind for number, *_ in self.attributes)

    def get(self, kind):
        return next((value for number, value, *_ in self.attributes if number == kind), None)

    def all(self, kind):
        return [value for number, value, *_ in self.attributes if number == kind]

    def number(self, kind):
        value = self.get(kind)
        return int.from_bytes(value, "big") if value else None

    def address(self, kind=A.XOR_MAPPED_ADDRESS):
        value = self.get(kind)
        txid = None if kind == A.MAPPED_ADDRESS else self.txid
        return None if value is None else read_address(value, txid)

    def addresses(self, kind):
        return [read_address(value, self.txid) for value in self.all(kind)]

    @property
    def code(self):
        """Of an error; None if there is none."""
        value = self.get(A.ERROR_CODE)
        return (value[2] & 7) * 100 + value[3] if value and len(value) >= 4 else None

    @property
    def ok(self):
        return self.klass == SUCCESS

    def integrity(self, key, kind=A.MESSAGE_INTEGRITY):
        """None if it is absent, else whether it is right."""
        for number, value, _, at in self.attributes:
            if number == kind:
                head = self.raw[:2] + struct.pack("!H", at - 20 + 4 + len(value)) + self.raw[4:at]
                how = "sha1" if kind == A.MESSAGE_INTEGRITY else "sha256"
                digest = hmac.new(key, head, how).digest()
                return len(value) >= 16 and digest[:len(value)] == value
        return None

    def fingerprint(self):
        """None if it is absent, else whether it is last and right."""
        for number, value, _, at in self.attributes:
            if number == A.FINGERPRINT:
                crc = zlib.crc32(self.raw[:at]) ^ 0x5354554E
                return at + 8 == len(self.raw) and value == u32(crc)
        return None

    def paddings(self):
        """Whether every padding is zero."""
        return all(not any(padding) for _, _, padding, _ in self.attributes)

    def __str__(self):
        what = f"{name(M, self.method)} {CLASSES[self.klass]}"
        if self.klass == ERROR:
            what += f" {self.code}"
        return what

    def describe(self):
        names = (name(A, number) for number, *_ in self.attributes)
        return f"{self} ({', '.join(names)})"


class ChannelData:
    """A frame as it came, with whatever followed the data in its datagram or padding."""

    def __init__(self, data):
        self.number, size = struct.unpack("!HH", data[:4])
        if len(data) < 4 + size:
            raise Malformed("ChannelData cut short")
        self.data = bytes(data[4:4 + size])
        self.padding = bytes(data[4 + size:])
        self.raw = bytes(data)

    def __str__(self):
        return f"ChannelData {self.number:#x} with {len(self.data)} bytes"

    describe = __str__


def parse(data):
    """A Message or ChannelData; raises Malformed."""
    if len(data) >= 4 and 0x40 <= data[0] <= 0x4F:
        return ChannelData(data)
    return Message(data)


def frame_length(data):
    """On a stream: how long the message is that begins here; None while that cannot be said."""
    if len(data) < 4:
        return None
    size = struct.unpack("!H", data[2:4])[0]
    return 4 + size + -size % 4 if 0x40 <= data[0] <= 0x4F else 20 + size
