# SPDX-License-Identifier: ISC
"""rtpengine in user space, and the least of its control protocol: calls of one plain RTP stream."""

import os
import re
import socket
import time

from world import FIRST_CLIENT_PORT, SIDES, wait_for, write

NG_PORT = 2223
WINDOW = 16  # requests under way at a time
PATIENCE = 60

CONFIG = """
[rtpengine]
table = -1
interface = ia/{a};ib/{b}
listen-ng = 127.0.0.1:{port}
num-threads = 1
media-num-threads = 1
port-min = 12000
port-max = 65000
timeout = 600
silent-timeout = 600
delete-delay = 0
log-level = 3
log-stderr = true
foreground = true
tos = 184
"""

SDP = """v=0\r
o=- 1 1 IN IP4 {ip}\r
s=-\r
c=IN IP4 {ip}\r
t=0 0\r
m=audio {port} RTP/AVP 0\r
a=rtpmap:0 PCMU/8000\r
a=sendrecv\r
"""


def encode(value):
    """Bencoding."""
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(encode, value)) + b"e"
    return b"d" + b"".join(encode(key) + encode(value[key]) for key in sorted(value)) + b"e"


class Ng:
    """The control protocol over UDP, several requests at a time."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", NG_PORT))
        self.socket.settimeout(1)

    def close(self):
        self.socket.close()

    def ask(self, requests):
        """{key: request}; returns {key: the answer's bytes}, once all are there."""
        left = [(key, encode(request)) for key, request in requests.items()]
        pending, answers = {}, {}
        end = time.monotonic() + PATIENCE
        while len(answers) < len(requests):
            if time.monotonic() > end:
                raise TimeoutError(f"rtpengine answered {len(answers)} of {len(requests)} requests")
            while left and len(pending) < WINDOW:
                key, data = left.pop()
                pending[key] = data
                self._send(key, data)
            try:
                cookie, _, answer = self.socket.recv(65536).partition(b" ")
                if pending.pop(cookie.decode(), None):
                    answers[cookie.decode()] = answer
            except TimeoutError:
                for key, data in pending.items():
                    self._send(key, data)
        return answers

    def _send(self, key, data):
        self.socket.send(key.encode() + b" " + data)

    def is_up(self):
        self.socket.settimeout(0.2)
        try:
            self._send("ping", encode({"command": "ping"}))
            return b"pong" in self.socket.recv(65536)
        except OSError:
            return False
        finally:
            self.socket.settimeout(1)


class Rtpengine:
    name = "rtpengine"

    def __init__(self, world):
        self.world = world
        self.opened = 0
        config = write(f"{world.directory}/rtpengine.conf", CONFIG.format(
            a=SIDES["a"][0], b=SIDES["b"][0], port=NG_PORT))
        self.process = world.network.start(
            "relay", *world.on_relay_core("rtpengine", f"--config-file={config}"), log="rtpengine")
        self.pid = self.process.pid
        self.ng = world.network.inside("relay", Ng)
        wait_for("rtpengine", self._is_up, 20)
        time.sleep(0.5)

    def _is_up(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"rtpengine ended: {self.world.log('rtpengine')}")
        return self.ng.is_up()

    def open_calls(self, total):
        """Returns the flows of the new ones."""
        indices = range(self.opened, total)
        self.opened = max(self.opened, total)
        to_b = self._round("offer", indices)
        to_a = self._round("answer", indices)
        return [f"{FIRST_CLIENT_PORT + i} {SIDES['a'][0]} {to_a[i]} "
                f"{FIRST_CLIENT_PORT + i} {SIDES['b'][0]} {to_b[i]} 0" for i in indices]

    def _round(self, command, indices):
        """One command for each call; returns the ports that rtpengine gave."""
        side = "a" if command == "offer" else "b"
        requests = {}
        for i in indices:
            request = {"command": command, "call-id": f"{os.getpid()}-{i}", "from-tag": f"f{i}",
                       "ICE": "remove", "replace": ["origin", "session connection"], "flags": [],
                       "sdp": SDP.format(ip=SIDES[side][1], port=FIRST_CLIENT_PORT + i)}
            request.update({"direction": ["ia", "ib"]} if side == "a" else {"to-tag": f"t{i}"})
            requests[f"{command}{i}"] = request
        ports = {}
        for key, answer in self.ng.ask(requests).items():
            found = re.search(rb"m=audio (\d+)", answer)
            if not found:
                raise RuntimeError(f"rtpengine to {key}: {answer[:200]}")
            ports[int(key.removeprefix(command))] = int(found[1])
        return ports

    def close(self):
        self.ng.close()
        self.world.network.stop(self.process)
