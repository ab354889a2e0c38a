# SPDX-License-Identifier: ISC
"""The administrator in his XMPP client: what he finds, sees and does by commands (XEP-0050) while
real clients talk; and that nobody else can.
"""

import json
import os

from control_scenarios import ControlLab, ControlTurnLab
from lab.call import Call, require
from lab.lab import ALICE, BOB, NAT_A, NAT_B
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
    require(kicked["notes"][0][0] == "error" and "nobody" in kicked["notes"][0][1],
            f"of nobody: {kicked}")
    for mode, expected in (("stay", "yes"), ("off", "no")):
        drained = alice.ask("command", to=RELAY, node="drain", values={"mode": mode})
        require(drained["values"]["draining"] == [expected], f"drain {mode}: {drained}")
    lab.configure("load = 0;", "load = 0; calls = 1;")
    applied = alice.ask("command", to=RELAY, node="reload")["values"]["applied"]
    require(applied == ["limits.calls"], f"reload: {applied}")
    metrics = lab.daemon.metrics()
    counted = [metrics[f'admin_commands_total{{result="{end}"}}'] for end in ("done", "failed")]
    require(counted == [4, 1], f"commands done and failed: {counted}")
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


def _turn_on_mask(lab):
    """Records, and no names from now on. Gives how much the log has until now."""
    key = f"{lab.directory}/mask-key"
    with open(key, "w", encoding="ascii") as file:
        file.write("0123456789abcdef" * 4)
    lab.configure('target = "stderr"; };',
                  f'target = "stderr"; records = "{lab.directory}/records.jsonl"; }};\n'
                  "privacy: { mask = true; };")
    require("privacy.mask" in lab.ask("reload")["applied"], "masking was not applied")
    return os.path.getsize(f"{lab.directory}/jingle-relayd.log")


def _everything(lab, since):
    """All that the daemon says to people: {where: text}."""
    said = {path: lab.daemon.get(path)[1]
            for path in ("/", "/summary", "/metrics", "/api/calls", "/api/status",
                         "/api/allocations")}
    for call in lab.daemon.json("/api/calls")["calls"] + lab.daemon.json("/api/calls")["ended"]:
        said[f"/api/calls/{call['id']}"] = lab.daemon.get(f"/api/calls/{call['id']}")[1]
        said[f"ctl call {call['id']}"] = lab.ctl("call", call["id"])[1]
    for command in ("calls", "status", "allocations", "top"):
        said[f"ctl {command}"] = lab.ctl(command)[1]
    with open(f"{lab.directory}/jingle-relayd.log", encoding="utf-8") as file:
        file.seek(since)
        said["log"] = file.read()
    if os.path.exists(f"{lab.directory}/records.jsonl"):
        with open(f"{lab.directory}/records.jsonl", encoding="utf-8") as file:
            said["records"] = file.read()
    return said


def _nothing_clear(said, *clear):
    for where, text in said.items():
        for word in clear:
            require(word not in text, f"{where} has {word}: {text[-3000:]}")


@scenario
def masked_call(lab):
    """With privacy.mask neither names nor addresses stand anywhere while a call runs and afterwards,
    but the domain and forms that stay the same."""
    alice, _ = _appoint(lab)
    since = _turn_on_mask(lab)
    call = _talk(lab)
    clear = [call.alice.jid.partition("/")[0], call.bob.jid.partition("/")[0], "alice", "bob\\40",
             *(lab_address for lab_address in (NAT_A, NAT_B, ALICE, BOB))]
    said = _everything(lab, since)
    said["commands"] = json.dumps([alice.ask("command", to=RELAY, node="calls"),
                                   alice.ask("command", to=RELAY, node="status")])
    _nothing_clear(said, *clear)
    row = lab.ask("calls")["calls"][0]
    initiator = row["initiator"]["jid"]
    require(initiator.startswith("u-") and f"@{DOMAIN}/r-" in initiator, f"a form: {initiator}")
    require("ip4-" in said[f"/api/calls/{row['id']}"], "no address at all")
    require(alice.ask("command", to=RELAY, node="kick", values={"target": call.bob.jid})["values"]
            ["calls"] == ["1"], "the administrator names whom he means in clear")
    wait_for("the record", lambda: _records(f"{lab.directory}/records.jsonl"), 10)
    said = _everything(lab, since)
    require(initiator in said["log"] and initiator in said["records"], "the forms differ")
    _nothing_clear(said, *clear)
    return {"places": len(said)}


@scenario
def masked_turn(lab):
    """The same of an allocation, running and over."""
    since = _turn_on_mask(lab)
    user = Endpoint(lab)
    require("relayed" in user.allocate("a", user="alice@example.test"), "no allocation")
    running = lab.ask("allocations")["allocations"]
    require(running[0]["identity"].startswith("u-"), f"allocations: {running}")
    said = _everything(lab, since)
    require("u-" in said["/api/allocations"], f"allocations: {said['/api/allocations']}")
    _nothing_clear(said, "alice", NAT_A, ALICE)
    require(lab.ask("kick", "alice@example.test")["allocations"] == 1, "it was not ended")
    wait_for("the record", lambda: _records(f"{lab.directory}/records.jsonl"), 10)
    said = _everything(lab, since)
    _nothing_clear(said, "alice", NAT_A, ALICE)
    return {"places": len(said)}
