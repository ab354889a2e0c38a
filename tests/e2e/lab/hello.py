# SPDX-License-Identifier: ISC
"""First flights of TLS and DTLS, as anybody can send them."""

import os
import ssl
import struct


def tls_hello(name="turn.example.test"):
    """A ClientHello of this machine's OpenSSL."""
    context = ssl.create_default_context()
    out = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def _vector(data, width):
    return len(data).to_bytes(width, "big") + data


def _extension(kind, data):
    return struct.pack("!H", kind) + _vector(data, 2)


def dtls_hello(cookie=b"", suites="c02bc02fc00ac01400ff"):
    """A ClientHello of DTLS 1.2 (RFC 6347 section 4.2), complete, so that nothing but the missing
    cookie keeps the server from an answer with its certificate."""
    extensions = (_extension(0x000a, _vector(bytes.fromhex("001d00170018"), 2))  # groups
                  + _extension(0x000b, _vector(b"\0", 1))                        # point formats
                  + _extension(0x000d, _vector(bytes.fromhex("0403080404010503"), 2))  # signatures
                  + _extension(0x0017, b""))                           # extended master secret
    body = (bytes.fromhex("fefd") + os.urandom(32) + _vector(b"", 1) + _vector(cookie, 1)
            + _vector(bytes.fromhex(suites), 2) + _vector(b"\0", 1) + _vector(extensions, 2))
    length = len(body).to_bytes(3, "big")
    handshake = b"\1" + length + bytes(2) + bytes(3) + length + body  # whole, number 0
    return b"\x16\xfe\xff" + bytes(8) + _vector(handshake, 2)         # epoch 0, record 0


def is_hello_verify(data):
    return len(data) > 13 and data[0] == 22 and data[13] == 3
