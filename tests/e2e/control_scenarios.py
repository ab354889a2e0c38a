# SPDX-License-Identifier: ISC
"""The administrator's side of a call: jingle-relayctl beside a running daemon, every subcommand for
people and as JSON; a reload, a kick and a drain while real clients talk.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import time

from lab.call import Call, require
from lab.client import ClientError
from lab.lab import SERVER4, Lab, through_relay
from lab.network import wait_for
from lab.turn import Endpoint, TurnLab

SCENARIOS = {}
AUDIO = ["audio"]
OK, PROBLEM, USAGE, UNREACHABLE = range(4)
COOKIE = 0x2112A442
TURN = "turn: { enabled = true; ports = [ 3478 ]; };"


def scenario(**options):
    """Registers a function as a scenario; options are those of the lab."""
    def register(function):
        SCENARIOS[function.__name__.replace("_", "-")] = (function, options)
        return function
    return register


class Control:
    """What a lab has beside: the administrator."""

    def ctl(self, *arguments, socket_path=None):
        """Runs the tool: (exit status, stdout, stderr)."""
        program = f"{os.path.dirname(self.daemon.program)}/jingle-relayctl"
        done = subprocess.run(
            [program, "--socket", socket_path or self.daemon.control, *arguments],
            capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout, done.stderr

    def ask(self, *arguments):
        """The same for a question that must be answered, as JSON."""
        status, text, errors = self.ctl("--json", *arguments)
        require(status == OK, f"{arguments}: {status}: {errors}")
        return json.loads(text)

    def configure(self, old, new):
        with open(self.daemon.config, encoding="utf-8") as file:
            text = file.read()
        require(old in text, f"the configuration has no {old}")
        with open(self.daemon.config, "w", encoding="utf-8") as file:
            file.write(text.replace(old, new))


class ControlLab(Control, Lab):
    groups = TURN

    def stun(self, port):
        """Whether a STUN server answers on this UDP port."""
        def request():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.settimeout(5)
                udp.sendto(struct.pack(">HHI12s", 1, 0, COOKIE, b"administrate"), (SERVER4, port))
                try:
                    return udp.recv(1500)[:2] == b"\x01\x01"
                except (OSError, TimeoutError):
                    return False
        return self.network.inside("alice", request)


class ControlTurnLab(Control, TurnLab):
    pass


def run(name, daemon, logs=None):
    function, options = SCENARIOS[name]
    kind = ControlTurnLab if name.endswith("-turn") else ControlLab
    with kind(daemon, logs=logs, **options) as lab:
        figures = function(lab)
        status = lab.daemon.stop()
        require(status == 0, f"the daemon ended with status {status}")
        return figures


def _talk(lab):
    call = Call(lab, "plain", "plain", AUDIO).connect().place()
    call.keep_flowing(2)
    return call


@scenario()
def control_questions(lab):
    """Every question, for people and as JSON, while a call runs; and what is wrong is said."""
    call = _talk(lab)
    status = lab.ask("status")
    require(status["component"]["connected"] and lab.ctl("status")[0] == OK, f"status: {status}")
    running = lab.ask("calls")["calls"]
    require([c["sid"] for c in running] == [call.sid], f"calls: {running}")
    number = running[0]["id"]
    story = lab.ask("call", number)
    require(story["verdict"] == "carried" and len(story["paths"]) == 2, f"its story: {story}")
    texts = {command: lab.ctl(*command.split()) for command in
             ("status", "calls", f"call {number}", "allocations", "top", "top --json")}
    for command, (code, text, errors) in texts.items():
        require(code == OK and text and not errors, f"{command}: {code} {text} {errors}")
        require("\033" not in text, f"{command} writes colours into a pipe")
    told = texts[f"call {number}"][1]
    for part in (call.alice.jid, "carried", "session-initiate", "host", "initiator", "ice"):
        require(part in told, f"the story has no {part}: {told}")
    require(call.alice.jid in texts["top"][1] and number in texts["calls"][1], f"{texts}")
    wrong = {("call", "ffff"): PROBLEM, ("call", "x"): PROBLEM, ("kick", "ffff"): PROBLEM,
             ("call",): USAGE, ("frobnicate",): USAGE, ("status", "--frobnicate"): USAGE,
             ("secrets", "show"): PROBLEM, ("top", "0"): USAGE}
    for arguments, expected in wrong.items():
        code, _, errors = lab.ctl(*arguments)
        require(code == expected and errors, f"{arguments}: {code} {errors}")
    code, _, errors = lab.ctl("status", socket_path=f"{lab.directory}/nobody")
    require(code == UNREACHABLE and "systemctl" in errors, f"nobody there: {code} {errors}")
    call.keep_flowing(1)
    call.hangup()
    ended = lab.ask("call", number)
    require(ended["state"] == "ended", f"after its end: {ended}")
    return {"commands": len(texts) + len(wrong) + 1}


@scenario()
def control_reload(lab):
    """A limit, a port of TURN, and mistakes, while a call runs: by the tool and by SIGHUP."""
    call = _talk(lab)
    lab.configure("load = 0;", "load = 0; calls = 1;")
    require(lab.ask("reload")["applied"] == ["limits.calls"], "the limit was not applied")
    room = lab.daemon.json("/api/capacity")["calls"]
    require((room["room"], room["bound"]) == (0, "number"), f"room: {room}")
    for nobody in ("nobody@example.test", f"{call.bob.jid}2"):
        code, _, errors = lab.ctl("kick", nobody)
        require(code == PROBLEM and "nobody of that name" in errors, f"kick: {code} {errors}")

    lab.configure("calls = 1;", 'calls = "many";')
    code, _, errors = lab.ctl("reload")
    require(code == PROBLEM and "limits.calls" in errors, f"a mistake: {code} {errors}")
    require(lab.daemon.json("/api/capacity")["calls"]["room"] == 0, "it has changed something")
    lab.configure('calls = "many";', "calls = 7;")

    require(not lab.stun(3479), "somebody is there already")
    lab.configure("ports = [ 3478 ]", "ports = [ 3478, 3479 ]")
    lab.daemon.process.send_signal(signal.SIGHUP)
    wait_for("the new listener", lambda: lab.stun(3479), 10)
    require(lab.stun(3478), "the old listener is gone")
    lab.configure('"50000-50199"', '"50000-50299"')
    found = lab.ask("reload")
    require(found["restart"] == ["relay.ports"], f"what takes a restart: {found}")
    require(lab.ctl("secrets", "rotate")[0] == OK, "no new secret")
    metrics = lab.daemon.metrics()
    counted = metrics['reloads_total{result="applied"}'], metrics['reloads_total{result="failed"}']
    require(counted == (4, 1), f"reloads counted: {counted}")
    call.keep_flowing(2)
    call.carried()
    call.hangup()
    return {"reloads": counted[0]}


@scenario()
def control_kick(lab):
    """The administrator ends a call, and then one of a user: both sides hear it."""
    call = _talk(lab)
    number = lab.ask("calls")["calls"][0]["id"]
    require(lab.ask("kick", number)["calls"] == 1, "the call was not ended")
    for client in call.both:
        wait_for(f"{client.user} hears of the end", lambda c=client: c.ask("stats")["ended"], 5)
    call.close()
    again = _talk(lab)
    code, text, errors = lab.ctl("kick", again.bob.jid.partition("/")[0].upper())
    require(code == OK and "1 calls" in text, f"kick: {code} {text} {errors}")
    for client in again.both:
        wait_for(f"{client.user} hears of the end", lambda c=client: c.ask("stats")["ended"], 5)
    return {"kicked": 2}


@scenario()
def control_drain(lab):
    """A new call is refused while the running one goes on; the daemon ends after it."""
    call = _talk(lab)
    drained = lab.ask("drain")
    require(drained["draining"] and drained["ends"] and drained["calls"] == 1, f"{drained}")
    require(lab.ask("drain", "off")["draining"] is False, "it goes on draining")
    require(lab.ask("drain", "stay")["ends"] is False, "it is about to end")
    before = lab.daemon.metrics()['calls_refused_total{limit="draining"}']
    another = lab.client("plain", "bob")
    lab.connect(another)
    try:
        another.ask("call", to=through_relay(call.alice.jid), kinds=AUDIO)
    except ClientError:
        pass  # some clients tell it at once
    wait_for("the refusal", lambda: lab.daemon.metrics()[
        'calls_refused_total{limit="draining"}'] > before, 10)
    require("DRAINING" in lab.ctl("status")[1], "status does not say so")
    require(lab.ctl("drain")[0] == OK, "drain")
    call.keep_flowing(2)
    require(lab.daemon.process.poll() is None, "the daemon ended before the call")
    call.alice.ask("hangup")
    wait_for("the daemon's end after the call's", lambda: lab.daemon.process.poll() is not None, 15)
    return {"refused": 1}


@scenario()
def control_turn(lab):
    """Allocations of a user are ended; a drain refuses new ones, and waits for those there are."""
    alice, bob = Endpoint(lab), Endpoint(lab, "bob")
    for name in ("a0", "a1"):
        require("relayed" in alice.allocate(name, user="alice@example.test"), f"no {name}")
    require("relayed" in bob.allocate("b0", user="bob@example.test"), "no b0")
    for command in (("allocations",), ("--json", "allocations")):
        code, text, errors = lab.ctl(*command)
        require(code == OK and text.count("bob@example.test") >= 1, f"{text} {errors}")
    kicked = lab.ask("kick", "alice@example.test")
    require(kicked == {"calls": 0, "allocations": 2}, f"kicked: {kicked}")
    wait_for("their end", lambda: len(lab.allocations()) == 1, 5)
    lab.ctl("drain")
    refused = bob.allocate("b1", user="bob@example.test")
    require(refused == {"error": 508}, f"while draining: {refused}")
    bob.echo("b0")
    time.sleep(3)  # it looks once a second
    require(lab.daemon.process.poll() is None, "the daemon ended before the allocation")
    bob.ask("close", name="b0")
    wait_for("the daemon's end after it", lambda: lab.daemon.process.poll() is not None, 15)
    return {"kicked": 2}
