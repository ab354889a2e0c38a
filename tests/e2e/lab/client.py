# SPDX-License-Identifier: ISC
"""The driver's side of a client process: questions and answers as JSON lines.

Every kind of client understands: connect, answer, call, stats, stanzas, hangup, disconnect. stats
gives {"state", "ended", "in": {kind: {"packets", "bytes", "lost"}}, "out", "pairs"}.
"""

import json
import os
import select
import subprocess
import sys
import time

from .servers import DOMAIN

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
CLIENTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients")
COMMANDS = {
    "asker": [sys.executable, f"{CLIENTS}/asker.py"],
    "commander": [sys.executable, f"{CLIENTS}/commander.py"],
    "chromium": ["node", f"{CLIENTS}/chromium.cjs"],
    "wrtc": ["node", f"{CLIENTS}/wrtc.cjs"],
    "aiortc": [sys.executable, f"{CLIENTS}/webrtc.py", "aiortc"],
    "libnice": [sys.executable, f"{CLIENTS}/webrtc.py", "gstreamer"],
    "plain": [sys.executable, f"{CLIENTS}/plain.py"],
    "viewer": ["node", f"{CLIENTS}/viewer.cjs"],
    "peer-chromium": ["node", f"{CLIENTS}/chromium.cjs", "peer"],
    "peer-wrtc": ["node", f"{CLIENTS}/wrtc.cjs", "peer"],
    "peer-gstreamer": [sys.executable, f"{CLIENTS}/peer_gstreamer.py"],
    "ice-aioice": [sys.executable, f"{CLIENTS}/ice.py", "aioice"],
    "ice-libnice": [sys.executable, f"{CLIENTS}/ice.py", "libnice"],
    "aioice-turn": [sys.executable, f"{CLIENTS}/turnuser.py"],
    "dino": [sys.executable, f"{CLIENTS}/desktop_dino.py"],
    "gajim": [sys.executable, f"{CLIENTS}/desktop_gajim.py"],
    "pidgin": [sys.executable, f"{CLIENTS}/desktop_pidgin.py"],
    "libnice-google": [sys.executable, f"{CLIENTS}/google.py"],
    "gstreamer-raw": [sys.executable, f"{CLIENTS}/rawudp.py"],
}


class ClientError(Exception):
    """What a client said went wrong."""


class Client:
    def __init__(self, network, host, kind, user=None, environment=None):
        self.network = network
        self.user = user or host
        self.kind = kind
        self.jid = None
        self.count = 0
        self.answers = {}
        self.rest = b""
        self.process = network.start(host, *COMMANDS[kind], log=f"{host}-{kind}",
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     env={**os.environ, **self._places(), **(environment or {})})

    def _places(self):
        """Where it may leave things: what is removed with the lab, and the tree's own cache."""
        return {"HOME": self.network.directory, "TMPDIR": self.network.directory,
                "GST_REGISTRY": f"{ROOT}/build/gst-registry.bin"}

    def post(self, do, **options):
        """Asks without waiting; take() fetches the answer."""
        self.count += 1
        message = {"id": self.count, "do": do, "with": options}
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()
        return self.count

    def take(self, number, seconds=30):
        end = time.monotonic() + seconds
        while number not in self.answers:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"{self.user} ({self.kind}) does not answer")
            data = os.read(self.process.stdout.fileno(), 1 << 20)
            if not data:
                raise ClientError(f"{self.user} ({self.kind}) ended")
            *lines, self.rest = (self.rest + data).split(b"\n")
            for line in filter(None, lines):
                answer = json.loads(line)
                self.answers[answer["id"]] = answer
        answer = self.answers.pop(number)
        if "error" in answer:
            raise ClientError(f"{self.user} ({self.kind}): {answer['error']}")
        return answer["result"]

    def ask(self, do, **options):
        return self.take(self.post(do, **options))

    def connect(self, server, resource=None):
        resource = resource or self.kind
        self.jid = self.ask("connect", user=self.user, domain=DOMAIN, server=server,
                            resource=resource)["jid"]

    def received(self, kind):
        return self.ask("stats")["in"].get(kind, {}).get("packets", 0)

    def close(self):
        self.process.stdin.close()
        self.network.stop(self.process)
