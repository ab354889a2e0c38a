#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""The suite's own codec against the vectors of RFC 5769 and RFC 8489 (appendix B.1 as corrected by
erratum 6268), so that a server is not blamed for an error of ours."""

import os
import unittest

import report
import stun
from stun import A, M

PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"  # the key of sections 2.1 to 2.3
REQUEST = bytes.fromhex(  # RFC 5769 section 2.1
    "000100582112a442b7e7a701bc34d686fa87dfae"            # header
    "802200105354554e207465737420636c69656e74"            # SOFTWARE "STUN test client"
    "002400046e0001ff" "80290008932ff9b151263b36"         # PRIORITY, ICE-CONTROLLED
    "000600096576746a3a68367659202020"                    # USERNAME, padded with spaces
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"    # MESSAGE-INTEGRITY
    "80280004e57a3bcf")                                   # FINGERPRINT
RESPONSE4 = bytes.fromhex(  # section 2.2
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"                    # SOFTWARE "test vector"
    "002000080001a147e112a643"                            # XOR-MAPPED-ADDRESS 192.0.2.1:32853
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96")
RESPONSE6 = bytes.fromhex(  # section 2.3
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"    # [2001:db8:1234:5678:11:2233:4455:6677]
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c")
USER, WORD, PLACE = "マトリックス", "TheMatrIX", "example.org"


class Vectors(unittest.TestCase):
    def test_integrity_and_fingerprint(self):
        for data in (REQUEST, RESPONSE4, RESPONSE6):
            message = stun.Message(data)
            self.assertIs(message.integrity(PASSWORD), True)
            self.assertIs(message.fingerprint(), True)
            self.assertIs(message.integrity(PASSWORD + b"x"), False)

    def test_every_bit_counts(self):
        for bit in range(0, 8 * (len(REQUEST) - 32), 5):
            if bit // 8 in (2, 3):  # the length, which the integrity takes as its own end
                continue
            data = bytearray(REQUEST)
            data[bit // 8] ^= 1 << bit % 8
            try:
                message = stun.Message(bytes(data))
            except stun.Malformed:
                continue
            self.assertIsNot(message.integrity(PASSWORD), True, f"bit {bit}")

    def test_addresses(self):
        self.assertEqual(stun.Message(RESPONSE4).address(), ("192.0.2.1", 32853))
        self.assertEqual(stun.Message(RESPONSE6).address(),
                         ("2001:db8:1234:5678:11:2233:4455:6677", 32853))

    def test_padding_is_seen(self):
        self.assertFalse(stun.Message(REQUEST).paddings())
        self.assertTrue(stun.Message(stun.build(M.BINDING, stun.REQUEST,
                                                [(A.SOFTWARE, b"x")])).paddings())

    def test_keys(self):  # RFC 8489 section 9.2.2, RFC 5769 section 2.4, RFC 8489 appendix B.1
        self.assertEqual(stun.long_term_key("user", "realm", "pass").hex(),
                         "8493fbc53ba582fb4c044c456bdc40eb")
        self.assertEqual(stun.long_term_key(USER, PLACE, WORD).hex(),
                         "e8ca7ad59d5eb0518e312911d2dab2a9")
        self.assertEqual(stun.long_term_key(USER, PLACE, WORD, stun.SHA256).hex(),
                         "dd295a613b9058c3c23d6dc7165bda072304d989c9d0af3a8c7e184b4f9bb4a1")
        self.assertEqual(stun.userhash(USER, PLACE).hex(),
                         "4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704")

    def test_sha256(self):  # appendix B.1: USERHASH, NONCE, REALM, PASSWORD-ALGORITHM
        data = stun.build(
            M.BINDING, stun.REQUEST,
            [(A.USERHASH, stun.userhash(USER, PLACE)),
             (A.NONCE, b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA"), (A.REALM, PLACE.encode()),
             (A.PASSWORD_ALGORITHM, stun.algorithm(stun.SHA256))],
            bytes.fromhex("78ad3433c6ad72c029da412e"),
            key=stun.long_term_key(USER, PLACE, WORD, stun.SHA256), integrity=("sha256",))
        self.assertEqual(len(data), 164)
        self.assertEqual(stun.Message(data).get(A.MESSAGE_INTEGRITY_SHA256).hex(),
                         "b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65")

    def test_rest(self):  # draft-uberti-behave-turn-rest-00
        self.assertEqual(stun.rest_credentials("north", "romeo", 1700000000),
                         ("1700000000:romeo", "4KwdPuiw7rP0eTOUtzAaK6ZMiSs="))


class Building(unittest.TestCase):
    def test_what_is_built_is_read(self):
        key = os.urandom(16)
        data = stun.build(M.ALLOCATE, stun.REQUEST, [(A.USERNAME, b"odd")], key=key,
                          integrity=("sha1", "sha256"), after=[(0x7F31, b"")], fingerprint="right")
        message = stun.Message(data)
        self.assertEqual((message.method, message.klass), (M.ALLOCATE, stun.REQUEST))
        self.assertIs(message.integrity(key), True)
        self.assertIs(message.integrity(key, A.MESSAGE_INTEGRITY_SHA256), True)
        self.assertIs(message.fingerprint(), True)

    def test_what_is_wrong_is_wrong(self):
        key = os.urandom(16)
        message = stun.Message(stun.build(M.BINDING, stun.REQUEST, key=key, integrity=("bad-sha1",),
                                          fingerprint="wrong"))
        self.assertIs(message.integrity(key), False)
        self.assertIs(message.fingerprint(), False)

    def test_types(self):  # RFC 8489 appendix A, and every value both ways
        for method in range(0x1000):
            for klass in range(4):
                message = stun.Message(stun.build(method, klass))
                self.assertEqual((message.method, message.klass), (method, klass))
        self.assertEqual(stun.message_type(M.DATA, stun.INDICATION), 0x0017)

    def test_addresses(self):
        for address in (("192.0.2.1", 1), ("2001:db8::1", 65535)):
            txid = os.urandom(12)
            self.assertEqual(stun.read_address(stun.xor_address(address, txid), txid), address)

    def test_cut_short(self):
        for size in range(len(REQUEST)):
            if size in (20, 40, 48, 60, 76, 100):  # between attributes
                continue
            with self.assertRaises(stun.Malformed):
                stun.Message(REQUEST[:size])

    def test_frames(self):
        frame = stun.channel_data(0x4000, b"odd", pad=True)
        self.assertEqual((len(frame), stun.frame_length(frame)), (8, 8))
        self.assertEqual(stun.parse(frame).data, b"odd")
        self.assertEqual(stun.frame_length(REQUEST), len(REQUEST))
        self.assertIsNone(stun.frame_length(b"\0\1\0"))


class Tables(unittest.TestCase):
    def test_a_failure_shows(self):
        row = {"group": "messages", "level": "MUST", "sentence": "a | b", "new": False, "seen": "c"}
        results = [{**row, "id": "1", "verdict": "pass"}, {**row, "id": "2", "verdict": "fail"},
                   {**row, "id": "3", "verdict": "not applicable"}]
        text = report.markdown([{"name": "one", "date": "today", "results": results}])
        self.assertIn("| 1 / 1 / 1 |", text)
        self.assertIn("- **2** (MUST): a \\| b *Seen: c*", text)


if __name__ == "__main__":
    unittest.main()
