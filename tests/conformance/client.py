# SPDX-License-Identifier: ISC
"""A TURN client that does as it is told: requests with every part of the authentication to be left
out, changed or done right; the latter as a client of RFC 5389 does it unless told otherwise."""

import os
import time

import stun
from link import Junk
from stun import A, M


class Failed(Exception):
    """The server did not do what the sentence says; the text says what was seen."""


class NoAnswer(Failed):
    pass


class NotApplicable(Exception):
    """The sentence is not about this server, or cannot be tried from here; the text says why."""


def require(condition, seen):
    if not condition:
        raise Failed(seen)


def show(item):
    return "no answer" if item is None else item.describe()


def is_response(txid):
    return lambda item: (isinstance(item, stun.Message) and item.txid == txid
                         and item.klass in (stun.SUCCESS, stun.ERROR))


class Client:
    def __init__(self, link, credentials, timing):
        self.link = link
        self.user, self.password = credentials
        self.timing = timing
        self.realm = self.nonce = None
        self.algorithms = None  # PASSWORD-ALGORITHMS of the challenge
        self.relayed = []       # of the allocation
        self.lifetime = None

    # --- transactions ---

    def transact(self, data, seconds=None, repeat=True):
        """Sends a request as it stands, again and again over UDP; returns the response or None."""
        seconds = self.timing.answer if seconds is None else seconds
        if self.link.reliable or not repeat:
            self.link.send(data)
            return self.link.wait(is_response(data[8:20]), seconds)
        end, pause = time.monotonic() + seconds, self.timing.again
        while (left := end - time.monotonic()) > 0:
            self.link.send(data)
            response = self.link.wait(is_response(data[8:20]), min(pause, left))
            if response is not None:
                return response
            pause *= 2
        return None

    def plain(self, method, attributes=(), **options):
        """A request without credentials; the response, which must come."""
        return self._answer(self.transact(stun.build(method, stun.REQUEST, attributes, **options)),
                            method)

    @staticmethod
    def _answer(response, method):
        if response is None:
            raise NoAnswer(f"no answer to {stun.name(M, method)}")
        return response

    def challenge(self, method=M.ALLOCATE, attributes=None):
        """Asks without credentials and keeps what the 401 says."""
        if attributes is None and method == M.ALLOCATE:
            attributes = [(A.REQUESTED_TRANSPORT, stun.u8(stun.UDP))]
        response = self.plain(method, attributes or [])
        require(response.code == 401,
                f"{show(response)} instead of 401 to a request without credentials")
        self.learn(response)
        return response

    def learn(self, response):
        realm, nonce = response.get(A.REALM), response.get(A.NONCE)
        require(realm is not None and nonce is not None, f"{show(response)}: no REALM or no NONCE")
        self.realm, self.nonce = realm.decode("utf-8", "replace"), nonce
        self.algorithms = response.get(A.PASSWORD_ALGORITHMS)

    @property
    def features(self):
        """The security features of the nonce cookie (RFC 8489 section 9.2): None if there is none,
        else whether it offers (password algorithms, username anonymity)."""
        return nonce_features(self.nonce)

    def key(self, which=stun.MD5):
        return stun.long_term_key(self.user, self.realm, self.password, which)

    def form(self, method, attributes=(), *, omit=(), user=None, nonce=None, realm=None, key=None,
             algorithm=None, algorithms=None, which=None, userhash=False, klass=stun.REQUEST,
             **options):
        """An authenticated request as bytes. algorithm: the number for PASSWORD-ALGORITHM, by which
        the key is made, too, unless 'which' says by what; algorithms: PASSWORD-ALGORITHMS."""
        user = self.user if user is None else user
        realm = self.realm if realm is None else realm
        name = (A.USERHASH, stun.userhash(user, realm)) if userhash else (A.USERNAME, user.encode())
        login = [name, (A.REALM, realm.encode()),
                 (A.NONCE, self.nonce if nonce is None else nonce)]
        if algorithms is not None:
            login.append((A.PASSWORD_ALGORITHMS, algorithms))
        if algorithm is not None:
            login.append((A.PASSWORD_ALGORITHM, stun.algorithm(algorithm)))
        key = self.key(which or algorithm or stun.MD5) if key is None else key
        login = [(kind, value) for kind, value in login if kind not in omit]
        return stun.build(method, klass, [*attributes, *login], key=key, **options)

    def request(self, method, attributes=(), **options):
        """An authenticated request. Answers a challenge first where there was none, and once a 438.
        Returns the response, which must come, with .verified: whether its integrity is right by
        the key of the request, None if it has none."""
        if self.nonce is None:
            self.challenge()
        response = None
        for _ in range(2):
            data = self.form(method, attributes, **options)
            response = self._answer(self.transact(data), method)
            if response.code != 438 or "nonce" in options:
                break
            self.learn(response)
            options.pop("txid", None)  # a retry is a new transaction
        key = options.get("key") or self.key(
            options.get("which") or options.get("algorithm") or stun.MD5)
        checks = [response.integrity(key, kind)
                  for kind in (A.MESSAGE_INTEGRITY, A.MESSAGE_INTEGRITY_SHA256)]
        checks = [check for check in checks if check is not None]
        response.verified = all(checks) if checks else None
        return response

    def expect(self, method, code, attributes=(), **options):
        """A request to which one error code (or one of several) is the answer."""
        codes = (code,) if isinstance(code, int) else code
        response = self.request(method, attributes, **options)
        require(response.code in codes,
                f"{show(response)} instead of {' or '.join(map(str, codes))}")
        return response

    def succeed(self, method, attributes=(), **options):
        response = self.request(method, attributes, **options)
        require(response.ok, f"{show(response)} instead of success")
        return response

    def indicate(self, method, attributes=(), **options):
        self.link.send(stun.build(method, stun.INDICATION, attributes, **options))

    # --- TURN ---

    def allocate(self, *attributes, transport=stun.UDP, **options):
        """An Allocate request that must succeed."""
        asked = [(A.REQUESTED_TRANSPORT, stun.u8(transport)), *attributes]
        response = self.succeed(M.ALLOCATE, asked, **options)
        self.keep(response)
        return response

    def keep(self, response):
        self.relayed = response.addresses(A.XOR_RELAYED_ADDRESS)
        self.lifetime = response.number(A.LIFETIME)
        require(self.relayed, f"{show(response)}: no XOR-RELAYED-ADDRESS")

    def refresh(self, lifetime=None, *attributes):
        head = [] if lifetime is None else [(A.LIFETIME, stun.u32(lifetime))]
        return self.request(M.REFRESH, [*head, *attributes])

    def peer_attribute(self, address, txid, first=0):
        return A.XOR_PEER_ADDRESS, stun.xor_address(address, txid, first)

    def with_peers(self, method, addresses, attributes=(), **options):
        """A request with XOR-PEER-ADDRESS attributes, which depend on its transaction id."""
        txid = os.urandom(12)
        peers = [self.peer_attribute(address, txid) for address in addresses]
        return self.request(method, [*attributes, *peers], txid=txid, **options)

    def permit(self, *addresses):
        response = self.with_peers(M.CREATE_PERMISSION, addresses)
        require(response.ok, f"{show(response)} to CreatePermission for {addresses}")

    def ask_channel(self, number, address, **options):
        return self.with_peers(M.CHANNEL_BIND, [address],
                               [(A.CHANNEL_NUMBER, stun.channel(number))], **options)

    def bind(self, number, address):
        response = self.ask_channel(number, address)
        require(response.ok, f"{show(response)} to ChannelBind {number:#x} for {address}")

    def send(self, address, data, *attributes):
        txid = os.urandom(12)
        self.indicate(M.SEND, [self.peer_attribute(address, txid), (A.DATA, data), *attributes],
                      txid=txid)

    def channel(self, number, data, **options):
        self.link.send(stun.channel_data(number, data, pad=self.link.reliable, **options))

    def receive_data(self, seconds=None):
        """What a peer sent: a Data indication or ChannelData, on a stream also what is neither;
        None when nothing comes. ICMP errors are not meant."""
        def wanted(item):
            if isinstance(item, Junk):
                return self.link.reliable
            return isinstance(item, stun.ChannelData) or (
                item.method == M.DATA and not item.has(A.ICMP))
        return self.link.wait(wanted, self.timing.answer if seconds is None else seconds)

    def release(self):
        """Gives the allocation back without caring whether that works."""
        if self.relayed and self.nonce is not None:
            self.relayed = []
            self.transact(self.form(M.REFRESH, [(A.LIFETIME, stun.u32(0))]), seconds=0.5)


def nonce_features(nonce):
    """Of a nonce with the cookie of RFC 8489 section 9.2; None without."""
    if not nonce.startswith(b"obMatJos2") or len(nonce) < 13:
        return None
    try:
        bits = stun.base64.b64decode(nonce[9:13], validate=True)
    except ValueError:
        return None
    return bool(bits[0] & 0x80), bool(bits[0] & 0x40)
