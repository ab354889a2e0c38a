#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""What ./quickstart shows: a call between two ordinary addresses, aiortc to aiortc, each behind a
NAT that lets nothing in. The clients know of no relay, STUN or TURN server: Prosody's module hands
the call to the relay. Then the relay as the TURN server of clients who ask it for credentials.
Prints the result as one JSON line, then where the live figures are."""

import json
import os
import signal
import sys

from lab.daemon import STATS_PORT
from lab.divert import DivertedCall, DivertLab
from lab.forward import Forwarder
from lab.network import wait_for
from lab.servers import RELAY
from lab.services import EXTDISCO, parse

DAEMON = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build/jingle-relayd")
LOGS = os.path.join(os.path.dirname(DAEMON), "quickstart-logs")
SECONDS = 5
TURN_PACKETS = 50


class Show(DivertLab):
    groups = "turn: { enabled = true; };"  # the line that the sample configuration has


def say(text):
    print(text, file=sys.stderr, flush=True)


def show_call(lab):
    """One call; returns the result line."""
    say("Alice and Bob join the server")
    call = DivertedCall(lab, "aiortc", "aiortc", ["audio", "video"]).connect()
    say(f"{call.alice.jid} calls {call.address()}; {SECONDS} seconds of audio and video")
    call.place()
    call.keep_flowing(SECONDS)
    view = call.relay()
    turn = show_turn(lab)
    return {"ok": view["verdict"] == "carried", "called": call.address(), **call.figures(),
            "relay": view, "turn": turn}


def show_turn(lab):
    """Alice and Bob take an address at the relay each, and talk between these."""
    say("Alice asks the relay for TURN credentials; both talk through TURN")
    asker = lab.client("asker", "alice")
    lab.connect(asker)
    answer = asker.ask("query", payload=f"<services xmlns='{EXTDISCO}'/>", to=RELAY)
    service = next(s for s in parse(answer["xml"])
                   if (s["type"], s["transport"]) == ("turn", "udp"))
    users = [lab.client("aioice-turn", name) for name in ("alice", "bob")]
    relayed = [user.ask("allocate", name="it", server=service["host"], port=int(service["port"]),
                        username=service["username"], password=service["password"])["relayed"]
               for user in users]
    for user, peer in zip(users, reversed(relayed)):
        user.ask("permit", name="it", address=peer[0])
    for first, count in (0, 1), (1, TURN_PACKETS):  # the first makes the channel of its sender
        for user, peer in zip(users, reversed(relayed)):
            user.ask("send", name="it", peer=peer, first=first, count=count)

    def received():
        numbers = [user.ask("received", name="it")["numbers"] for user in users]
        return [len(set(own) - {0}) for own in numbers]
    wait_for("what was sent by TURN", lambda: received() == [TURN_PACKETS] * 2, 10)
    view = lab.daemon.json("/api/allocations")["allocations"]
    return {"user": view[0]["identity"], "relayed": [f"{host}:{port}" for host, port in relayed],
            "sent": [TURN_PACKETS] * 2, "received": received()}


def summary(result):
    """The same in a sentence, for people."""
    if not result["ok"]:
        why = result.get("why") or f"the relay says: {result['relay']['verdict']}"
        return f"It went wrong: {why}. The logs are in {result['logs']}"
    packets = ", ".join(
        f"{name.capitalize()} got {kinds['audio']} packets of audio, {kinds['video']} of video"
        for name, kinds in result["packets_received"].items())
    lost = sum(loss for kinds in result["loss"].values() for loss in kinds.values())
    return (f"It worked. {packets}, all through the relay ({lost} lost); by TURN "
            f"{result['turn']['received'][0]} of {TURN_PACKETS} each way. "
            "The line of JSON has everything.")


def show(lab):
    """The call and its figures; the exit status. What was started ends with the caller's lab."""
    try:
        result = show_call(lab)
    except Exception as error:
        result = {"ok": False, "why": f"{type(error).__name__}: {error}"}
    if not result["ok"]:
        lab.save_logs()
        result["logs"] = lab.logs
    print(json.dumps(result), flush=True)
    say(summary(result))
    if "--once" in sys.argv[1:] or not result["ok"]:
        return 0 if result["ok"] else 1
    with Forwarder(lab.network, "srv", STATS_PORT) as forwarder:
        say("the live page, for a browser on this machine:")
        print(f"http://127.0.0.1:{forwarder.port}/", flush=True)
        say("the call goes on; interrupt to end")
        signal.pause()


def main():
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    say("starting namespaces, NATs, Prosody with mod_jingle_relay, and the daemon")
    try:
        with Show(os.path.abspath(DAEMON), door="prosody", logs=os.path.abspath(LOGS)) as lab:
            return show(lab)
    except KeyboardInterrupt:
        return 1 if "--once" in sys.argv[1:] else 0  # before there was a result
    except Exception as error:  # before there was a call, such as a machine without namespaces
        sys.exit(f"quickstart: {type(error).__name__}: {error}; the logs are in {LOGS}")


if __name__ == "__main__":
    sys.exit(main())
