#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""The call that ./quickstart shows: aiortc to aiortc, each behind a NAT that lets nothing in, with no
STUN or TURN server anywhere. Prints the result as one JSON line, then where the live figures are."""

import json
import os
import signal
import sys

from lab.call import Call
from lab.daemon import STATS_PORT
from lab.forward import Forwarder
from lab.lab import Lab

DAEMON = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build/jingle-relayd")
LOGS = os.path.join(os.path.dirname(DAEMON), "quickstart-logs")
SECONDS = 5


def say(text):
    print(text, file=sys.stderr, flush=True)


def show_call(lab):
    """One call; returns the result line."""
    say("Alice and Bob join the server")
    call = Call(lab, "aiortc", "aiortc", ["audio", "video"]).connect()
    say(f"Alice calls Bob through the relay; {SECONDS} seconds of audio and video")
    call.place()
    call.keep_flowing(SECONDS)
    view = call.relay()
    return {"ok": view["verdict"] == "carried", **call.figures(), "relay": view}


def main():
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    say("starting namespaces, NATs, Prosody and the daemon")
    with Lab(os.path.abspath(DAEMON), logs=os.path.abspath(LOGS)) as lab:
        try:
            result = show_call(lab)
        except Exception as error:
            result = {"ok": False, "why": f"{type(error).__name__}: {error}"}
        if not result["ok"]:
            lab.save_logs()
            result["logs"] = lab.logs
        print(json.dumps(result), flush=True)
        if "--once" in sys.argv[1:] or not result["ok"]:
            return 0 if result["ok"] else 1
        with Forwarder(lab.network, "srv", STATS_PORT) as forwarder:
            print(f"http://127.0.0.1:{forwarder.port}/", flush=True)
            say("the call goes on; interrupt to end")
            try:
                signal.pause()
            except KeyboardInterrupt:
                return 0


if __name__ == "__main__":
    sys.exit(main())
