# SPDX-License-Identifier: ISC
"""The administrator in his XMPP client: what he finds, sees and does by commands (XEP-0050) while
real clients talk; and that nobody else can.
"""

import json
import os

from control_scenarios import ControlLab, ControlTurnLab
from lab.call import Call, require
from lab.network import wait_for
from lab.servers import DOMAIN, RELAY
from lab.turn import Endpoint

SCENARIOS = {}
CONTACT = "mailto:admin@example.test"


def scenario(function):
    SCENARIOS[function.__name__.replace("_", "-")] = function
    return function


def run(name, daemon, logs=None):
    kind = ControlTurnLab if name.endswith("-turn") else ControlLab
    with kind(daemon, logs=logs) as lab:
        figures = SCENARIOS[name](lab)
        status = lab.daemon.stop()
        require(status == 0, f"the daemon ended with status {status}")
        return figures


def _talk(lab):
    call = Call(lab, "plain", "plain", ["audio"]).connect().place()
    call.keep_flowing(2)
    return call


def _appoint(lab):
    """Alice becomes the administrator of the running daemon; gives a client of hers, and Bob's."""
    lab.configure("served_domains", f'admins = [ "alice@{DOMAIN}" ]; contact = [ "{CONTACT}" ];\n'
                                    "  served_domains")
    found = lab.ask("reload")
    require(found["applied"] == ["xmpp.admins", "xmpp.contact"], f"applied: {found}")
    clients = [lab.client("commander", user) for user in ("alice", "bob")]
    for client in clients:
        lab.connect(client)
    return clients


@scenario
def admin_looks(lab):
    """The administrator finds the commands, and sees the status, the calls and one call's story;
    another user is refused, and both are told figures and contact."""
    alice, bob = _appoint(lab)
    call = _talk(lab)
    listed = alice.ask("commands", to=RELAY)
    require({"status", "calls", "call", "kick", "drain", "reload"} <= set(listed), f"{listed}")
    require(not {"secrets", "hand-over"} & set(listed), f"what is local is offered: {listed}")
    status = alice.ask("command", to=RELAY, node="status")
    require(status["status"] == "completed" and status["form"] == "result", f"status: {status}")
    require(status["values"]["component.connected"] == ["yes"], f"status: {status['values']}")
    rows = alice.ask("command", to=RELAY, node="calls")["rows"]
    require([row["initiator.jid"] for row in rows] == [[call.alice.jid]], f"calls: {rows}")
    number = rows[0]["id"][0]
    story = alice.ask("command", to=RELAY, node="call", values={"id": number})
    require(story["values"]["verdict"] == ["carried"] and len(story["values"]["paths"]) == 2,
            f"its story: {story}")
    wrong = alice.ask("command", to=RELAY, node="call", values={"id": "ffff"})
    require(wrong["notes"][0][0] == "error" and "no such call" in wrong["notes"][0][1], f"{wrong}")
    for refused in (bob.ask("commands", to=RELAY),
                    bob.ask("command", to=RELAY, node="status").get("error"),
                    bob.ask("command", to=RELAY, node="kick", values={"target": number})["error"]):
        require(refused == "forbidden", f"Bob: {refused}")
    about = bob.ask("about", to=RELAY)
    require([CONTACT] in [form.get("admin-addresses") for form in about["forms"]], f"{about}")
    require(["1"] in [form.get("calls") for form in about["forms"]], f"figures: {about}")
    require(not any("commands" in feature for feature in about["features"]), f"Bob: {about}")
    call.keep_flowing(1)
    call.hangup()
    return {"commands": len(listed)}


@scenario
def admin_acts(lab):
    """Out of his client the administrator ends a call, drains, reloads, and cancels a form."""
    alice, _ = _appoint(lab)
    call = _talk(lab)
    kept = alice.ask("command", to=RELAY, node="kick", values={"target": "x"}, action="cancel")
    require(kept["status"] == "canceled", f"canceled: {kept}")
    call.keep_flowing(1)
    kicked = alice.ask("command", to=RELAY, node="kick", values={"target": call.bob.jid})
    require(kicked["values"]["calls"] == ["1"], f"kicked: {kicked}")
    for client in call.both:
        wait_for(f"{client.user} hears of the end", lambda c=client: c.ask("stats")["ended"], 5)
    kicked = alice.ask("command", to=RELAY, node="kick", values={"target": f"bob@{DOMAIN}"})
    require(kicked["values"] == {"calls": ["0"], "allocations": ["0"]}, f"of nobody: {kicked}")
    for mode, expected in (("stay", "yes"), ("off", "no")):
        drained = alice.ask("command", to=RELAY, node="drain", values={"mode": mode})
        require(drained["values"]["draining"] == [expected], f"drain {mode}: {drained}")
    lab.configure("load = 0;", "load = 0; calls = 1;")
    applied = alice.ask("command", to=RELAY, node="reload")["values"]["applied"]
    require(applied == ["limits.calls"], f"reload: {applied}")
    metrics = lab.daemon.metrics()
    require(metrics['admin_commands_total{result="done"}'] == 5, "commands are not counted")
    lab.configure(f'admins = [ "alice@{DOMAIN}" ];', "admins = [ ];")
    require(lab.ask("reload")["applied"] == ["xmpp.admins"], "the list was not applied")
    require(alice.ask("commands", to=RELAY) == "forbidden", "she is an administrator still")
    drained = lab.ask("drain", "stay")
    require(drained["draining"], f"the socket: {drained}")
    return {"commands": 6}


def _records(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@scenario
def records_rotated(lab):
    """A call that is over leaves a line; after a rotation a new file is written."""
    path = f"{lab.directory}/records.jsonl"
    lab.configure('target = "stderr";', f'target = "stderr"; records = "{path}";')
    require(lab.ask("reload")["applied"] == ["log.records"], "the path was not applied")
    call = _talk(lab)
    number = lab.ask("calls")["calls"][0]["id"]
    call.hangup()
    wait_for("the record of the call", lambda: _records(path), 10)
    record = _records(path)[0]
    require((record["record"], record["id"]) == ("call", number), f"record: {record}")
    require(record["verdict"] == "carried" and record["ended"] > record["opened"], f"{record}")
    require(all(step["at"] >= record["opened"] for step in record["steps"]), f"{record['steps']}")
    require("_ago" not in json.dumps(record), f"a distance: {record}")

    os.rename(path, f"{path}.1")
    require(lab.ctl("reload")[0] == 0, "reload")
    call = _talk(lab)
    call.hangup()
    wait_for("the next record", lambda: _records(path), 10)
    require(len(_records(f"{path}.1")) == 1, "the old file was written on")
    wait_for("the figure", lambda: lab.daemon.metrics()['records_total{result="written"}'] == 2, 10)
    return {"records": 2}


@scenario
def records_turn(lab):
    """A TURN allocation that is over leaves a line, too."""
    path = f"{lab.directory}/records.jsonl"
    lab.configure('target = "stderr";', f'target = "stderr"; records = "{path}";')
    require("log.records" in lab.ask("reload")["applied"], "the path was not applied")
    user = Endpoint(lab)
    require("relayed" in user.allocate("a", user="alice@example.test"), "no allocation")
    require(lab.ask("kick", "alice@example.test")["allocations"] == 1, "it was not ended")
    wait_for("the record of the allocation", lambda: _records(path), 10)
    record = _records(path)[0]
    require((record["record"], record["identity"]) == ("allocation", "alice@example.test")
            and record["end_reason"] == "ended by this server", f"record: {record}")
    return {"records": 1}
