# SPDX-License-Identifier: ISC
"""The daemon under a real systemd, by the unit file that is installed: started as the user that it
says, in its sandbox, and restarted, reloaded, stopped and killed under a call and a TURN allocation.
"""

import json
import re

from fastpath_scenarios import by_kernel, wait_for_kernel
from lab.call import require
from lab.lab import SERVER4, Lab
from lab.network import wait_for
from lab.systemd import ROOT, UNIT, Machine, ServiceDaemon
from lab.turn import PEER4, PEER_PORT, SECRET, Endpoint
from restart_scenarios import goes_on, restart_figures
from scenarios import AUDIO, carry, ends

SCENARIOS = {}
CAP_NET_ADMIN, CAP_BPF = 12, 39
TURN = f"""
turn: {{ enabled = true; host = "{SERVER4}"; realm = "example.test"; ports = [ 3478 ]; }};
"""
# As docs/OPERATING.md has it.
TURN_SECRET = "[Service]\nLoadCredential=turn-secret:/etc/jingle-relayd/turn-secret\n"
CONFIG = "/etc/jingle-relayd/jingle-relayd.conf"
DYNAMIC = range(61184, 65520)  # the user ids that systemd gives away
ALLOCATIONS = ("udp0", "udp1")
ECHOES = 200  # from each allocation, while the daemon restarts
LOST_MOST = 100  # echoes of one, or packets of the call, by a restart: usually none


class SystemdLab(Lab):
    """sysusers: as ServiceDaemon; fastpath_conf: with that drop-in."""

    groups = TURN

    def __init__(self, daemon, *, sysusers=False, fastpath_conf=False, **options):
        self.dropins = {"turn": TURN_SECRET}
        self.sysusers, self.machine = sysusers, None
        if fastpath_conf:
            with open(f"{ROOT}/systemd/fastpath.conf", encoding="utf-8") as file:
                self.dropins["fastpath"] = file.read()
        super().__init__(daemon, **options)

    def prepare(self):
        self.machine = Machine(self.network, self.directory)
        self.network.start("peer", "turnutils_peer", "-L", PEER4, "-p", str(PEER_PORT), log="peer")

    def _wire(self, *options):
        super()._wire(*options)
        self.network.host("peer", PEER4)

    def write_turn_secret(self):
        self.machine.write("/etc/jingle-relayd/turn-secret", SECRET + "\n", mode=0o600)

    def daemon_class(self, *arguments, **options):
        self.write_turn_secret()
        return ServiceDaemon(*arguments, machine=self.machine, dropins=self.dropins,
                             sysusers=self.sysusers, **options)

    def save_logs(self):
        self.machine.save_journal(f"{self.directory}/journal.log")
        super().save_logs()

    def close(self):
        try:
            if self.machine:
                self.machine.close()
        finally:
            super().close()


def scenario(**options):
    """Registers a function as a scenario; options are those of the lab."""
    def register(function):
        SCENARIOS["systemd-" + function.__name__.replace("_", "-")] = (function, options)
        return function
    return register


def run(name, daemon, logs=None):
    function, options = SCENARIOS[name]
    with SystemdLab(daemon, logs=logs, **options) as lab:
        figures = function(lab)
        status = lab.daemon.stop()
        require(status == 0, f"the daemon ended with status {status}")
        return figures


def kinds():
    """{subject: message id} of the catalogue."""
    with open(f"{ROOT}/systemd/jingle-relayd.catalog", encoding="utf-8") as file:
        return {subject: number for number, subject in
                re.findall(r"^-- (\w+)\nSubject: (.*)$", file.read(), re.M)}


def said(lab, subject):
    """How many records of that kind the journal has."""
    number = kinds()[subject]
    return sum(record.get("MESSAGE_ID") == number for record in lab.machine.journal())


def status_of(lab):
    """/proc/PID/status of the daemon."""
    with open(lab.machine.path(f"/proc/{lab.daemon.main_pid()}/status"), encoding="ascii") as file:
        return dict(line.rstrip().split(":\t", 1) for line in file if ":\t" in line)


def sandboxed(lab, capabilities=()):
    """Requires of the daemon what the unit says of it."""
    status, machine = status_of(lab), lab.machine
    user = int(status["Uid"].split()[0])
    mask = sum(1 << number for number in capabilities)
    for field, wanted in (("CapEff", mask), ("CapPrm", mask), ("CapBnd", mask)):
        require(int(status[field], 16) == wanted, f"{field}: {status[field]}")
    require(status["NoNewPrivs"] == "1" and status["Seccomp"] == "2",
            f"no new privileges: {status['NoNewPrivs']}, seccomp: {status['Seccomp']}")
    owner = machine.run("stat", "-c", "%u", "/run/jingle-relayd/control").stdout.strip()
    require(int(owner) == user != 0, f"the daemon is user {user}, its socket {owner}'s")
    return user


def allocate(lab):
    alice = Endpoint(lab)
    for name in ALLOCATIONS:
        answer = alice.allocate(name)
        require("error" not in answer, f"{name}: {answer}")
    alice.echo(*ALLOCATIONS)
    return alice


def under_echoes(alice, action):
    """Does it while the allocations send to their peer; how many packets did not come back, each."""
    before = {name: alice.ask("received", name=name)["count"] for name in ALLOCATIONS}
    sending = [alice.client.post("send", name=name, peer=(PEER4, PEER_PORT), count=ECHOES,
                                 pause=0.01) for name in ALLOCATIONS]
    figures = action()
    for number in sending:
        alice.client.take(number)
    alice.echo(*ALLOCATIONS)  # and these 40 more all come back
    return figures, {name: before[name] + ECHOES + 40 - alice.ask("received", name=name)["count"]
                     for name in ALLOCATIONS}


def restarts(lab, call, alice):
    """systemctl restart under a call and allocations, all of which live on."""
    figures, echoes_lost = under_echoes(alice, lambda: goes_on(lab, call, "restart"))
    require(figures["allocations_kept"] == len(ALLOCATIONS), f"restarted: {figures}")
    require(max(figures["packets_lost"], *echoes_lost.values()) <= LOST_MOST,
            f"lost: {echoes_lost}, {figures}")
    for name in ALLOCATIONS:
        answer = alice.ask("refresh", name=name)
        require(answer.get("lifetime"), f"refresh of {name}: {answer}")
    return {**figures, "echoes_lost": echoes_lost}


def edit(lab, old, new):
    with open(lab.machine.path(CONFIG), encoding="utf-8") as file:
        text = file.read()
    require(old in text, f"the configuration has no {old}")
    lab.machine.write(CONFIG, text.replace(old, new))


def control(lab, *words):
    """The administrator's tool, as root of the machine."""
    return json.loads(lab.machine.run("jingle-relayctl", "--json", *words).stdout)


@scenario()
def restart(lab):
    """A user that exists only while the daemon runs, its sandbox, its journal; restarts and a reload
    under a call and allocations."""
    user = sandboxed(lab)
    require(user in DYNAMIC, f"the daemon is user {user}")
    alice = allocate(lab)
    call, figures = carry(lab, "plain", "plain", AUDIO)
    figures = {"user": user, **figures, "restarts": [restarts(lab, call, alice) for _ in range(2)]}
    lab.machine.systemctl("reload", UNIT)
    wait_for("the reload", lambda: said(lab, "The configuration was read again"), 10)
    call.keep_flowing(2)
    status = control(lab, "status")
    require(status["calls"]["addressed"]["active"] == 1, f"status: {status}")
    require(said(lab, "A TURN allocation is over") == 0, "the journal has allocations end")
    ends(call, figures)
    for subject, least in (("The relay has started", 3), ("The relay has joined its XMPP server", 3),
                           ("The relay goes on with the calls of the last one", 2),
                           ("A call is over", 1)):
        wait_for(subject, lambda: said(lab, subject) >= least, 10)
    told = lab.machine.run("journalctl", "-x", "-u", UNIT).stdout
    require("Subject: A call is over" in told, "journalctl -x does not explain")
    return figures


@scenario(sysusers=True)
def stop_and_crash(lab):
    """The other ends. After kill -9 it is started again, without its calls; a restart with a broken
    configuration keeps the calls until it is mended; systemctl stop tells both sides."""
    call, figures = carry(lab, "plain", "plain", AUDIO)
    lab.machine.run("kill", "-KILL", str(lab.daemon.main_pid()))
    wait_for("the next daemon", lambda: lab.machine.property("NRestarts") == "1", 20)
    wait_for("its connection", lab.daemon.is_up, 20)
    killed = restart_figures(lab)
    require(not lab.daemon.json("/api/calls")["calls"], "it knows a call")
    call.close()

    call, _ = carry(lab, "plain", "plain", AUDIO)
    edit(lab, 'policy = "', 'policy = "x')
    done = lab.machine.run("systemctl", "restart", UNIT, check=False)
    require(done.returncode != 0, "it has started with a broken configuration")
    wait_for("a second attempt", lambda: said(lab, "The relay cannot start") >= 2, 20)
    edit(lab, 'policy = "x', 'policy = "')
    lab.daemon.restart()
    call.keep_flowing(2)
    mended = restart_figures(lab)
    require(mended["calls_kept"] == 1, f"restarted: {mended}")

    status = lab.daemon.stop()
    require(status == 0, f"the daemon ended with status {status}")
    reasons = [wait_for("both sides learn that the call ended",
                        lambda c=client: c.ask("stats")["ended"], 5) for client in call.both]
    require(reasons == ["gone", "gone"], f"reasons told: {reasons}")
    lab.machine.systemctl("start", UNIT)
    wait_for("the daemon's connection", lab.daemon.is_up, 20)
    require(restart_figures(lab)["restarts"] == 0, "it goes on with something after a stop")
    call.close()
    return ends(carry(lab, "plain", "plain", AUDIO)[0],
                {**figures, "killed": killed, "mended": mended, "stop_told": reasons})


@scenario(fastpath_conf=True, fastpath="on")
def fastpath(lab):
    """With its drop-in, the kernel forwards; also after a restart."""
    sandboxed(lab, capabilities=(CAP_NET_ADMIN, CAP_BPF))
    call, figures = carry(lab, "plain", "plain", AUDIO)
    wait_for_kernel(call)
    before = by_kernel(lab)
    figures["restart"] = goes_on(lab, call, "restart")
    wait_for_kernel(call)
    wait_for("packets by the kernel", lambda: by_kernel(lab) > 0, 5)
    call.keep_flowing(2)
    return ends(call, {**figures, "by_kernel": [before, by_kernel(lab)]})
