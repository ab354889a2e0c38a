# SPDX-License-Identifier: ISC
"""What is measured, all with the same interface: the daemon, the floor beside it, and the wire
without anything between.

open_calls(n) sees to it that there are n calls and returns the lines for rtpload of the new ones.
"""

import http.client
import json
import os
import subprocess
import time

from callers import Callers
from world import (ALLOWED, CALLERS, COMPONENT_PORT, DAEMON, FIRST_CLIENT_PORT, FIRST_FLOOR_PORT,
                   PORTS, RELAY, RELAY_IP, SECRET, SIDES, STATS_PORT, wait_for, write)

CLIENTS = {side: SIDES[side][1] for side in SIDES}
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """CPU time of a process and its threads; by the nanosecond where the kernel tells."""
    try:
        total = 0
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total / 1e9
    except FileNotFoundError:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


class Wire:
    """The network alone: packets are routed by the kernel of the relay's host."""

    name = "wire"
    pid = None

    def __init__(self, world):
        self.opened = 0

    def open_calls(self, total):
        lines = [f"{CLIENTS['b']} {FIRST_CLIENT_PORT + i} - - "
                 f"{CLIENTS['a']} {FIRST_CLIENT_PORT + i} - -" for i in range(self.opened, total)]
        self.opened = max(self.opened, total)
        return lines

    def close(self):
        pass


class Floor:
    """A bare forwarder with as many sockets as the daemon."""

    name = "floor"

    def __init__(self, world, mode="mmsg", threads=1, prefix=None):
        """mode: as the program's; prefix: as the daemon's"""
        self.world = world
        self.opened = 0
        self.process = world.network.start(
            "relay", *(world.on_relay_core() if prefix is None else prefix),
            world.program("floor"), mode, RELAY_IP, str(FIRST_FLOOR_PORT), CLIENTS["a"],
            CLIENTS["b"], str(FIRST_CLIENT_PORT), str(threads),
            log="floor", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.pid = self.process.pid

    def open_calls(self, total):
        self.process.stdin.write(f"{total}\n")
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the floor does not open {total} calls: {self.world.log('floor')}")
        lines = [f"{RELAY_IP} {FIRST_FLOOR_PORT + 2 * i} - - "
                 f"{RELAY_IP} {FIRST_FLOOR_PORT + 2 * i + 1} - -"
                 for i in range(self.opened, total)]
        self.opened = max(self.opened, total)
        return lines

    def set_up(self, total):
        return self.open_calls(total), {}  # without signalling there is nothing to measure

    def close(self):
        self.world.network.stop(self.process)
        self.process.stdin.close()
        self.process.stdout.close()


class KernelFloor(Floor):
    """A bare forwarder in the kernel (bare.bpf.c), by the same flows."""

    name = "kernel_floor"

    def __init__(self, world, mode):
        """mode: which of its programs"""
        self.world = world
        self.opened = 0
        world.poll_at_sides(mode == "early")
        sides = [word for side in SIDES for word in (f"side-{side}", CLIENTS[side], SIDES[side][3])]
        self.process = world.network.start(
            "relay", world.program("bare"), world.program("bare.bpf.o"), mode, RELAY_IP,
            str(FIRST_FLOOR_PORT), str(FIRST_CLIENT_PORT), *sides,
            log="floor", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.pid = None


class Daemon:
    """jingle-relayd, with its calls set up through Prosody."""

    name = "daemon"

    def __init__(self, world, quarantine="10 s", limits="", more="", served=CALLERS, prefix=None,
                 relay="", workers=1):
        """limits, relay: settings of those groups beside the usual; more: further groups; prefix:
        of the command, instead of what holds it on the relay's core."""
        self.world = world
        prefix = world.on_relay_core() if prefix is None else prefix
        self.callers = None
        directory = world.directory
        write(f"{directory}/secret", SECRET + "\n")
        os.chmod(f"{directory}/secret", 0o600)
        config = write(f"{directory}/jingle-relayd.conf", DAEMON.format(
            relay=RELAY, callers=served, port=COMPONENT_PORT, directory=directory, ip=RELAY_IP,
            ports=PORTS, stats=STATS_PORT, quarantine=quarantine, limits=limits, more=more,
            relay_more=relay, workers=workers,
            allowed=", ".join(f'"{prefix}"' for prefix in ALLOWED)))
        self.process = self._start(config, prefix)
        self.pid = self.process.pid
        wait_for("the daemon", self._is_up, 20)
        self.connect_callers()

    def _start(self, config, prefix):
        return self.world.network.start(
            "relay", *prefix, self.world.program("jingle-relayd"), "--config", config,
            log="jingle-relayd")

    def connect_callers(self):
        world = self.world
        self.callers = Callers(
            lambda: world.network.inside("relay", lambda: world.connect(COMPONENT_PORT)),
            CALLERS, RELAY, RELAY_IP, SECRET, FIRST_CLIENT_PORT)

    def _get(self, path):
        def request():
            connection = http.client.HTTPConnection("127.0.0.1", STATS_PORT, timeout=5)
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        return self.world.network.inside("relay", request)

    def _is_up(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the daemon ended: {self.world.log('jingle-relayd')}")
        try:
            return self._get("/healthz")[0] == 200
        except OSError:
            return False

    def metrics(self):
        """{"name{labels}": value}, without the common prefix."""
        rows = (line.rsplit(" ", 1) for line in self._get("/metrics")[1].splitlines()
                if line and not line.startswith("#"))
        return {name.removeprefix("jingle_relay_"): float(value) for name, value in rows}

    def known_calls(self):
        """How many calls run, by the daemon's own list, which takes a look at each."""
        return len(json.loads(self._get("/api/calls")[1])["calls"])

    def open_calls(self, total):
        return [call.line() for call in self.callers.set_up(total)]

    def set_up(self, total):
        """Opens calls and says how fast that went, and whose CPU time it took per call."""
        processes = {"daemon": self.pid, "prosody": self.world.prosody.pid, "script": os.getpid()}
        before = {name: cpu_seconds(pid) for name, pid in processes.items()}
        start = time.monotonic()
        calls = self.callers.set_up(total)
        seconds = time.monotonic() - start
        waits = sorted(call.accepted - call.began for call in calls)
        offers = sorted(call.offered - call.began for call in calls)
        figures = {"set_up_per_second": len(calls) / seconds,
                   "offer_p50_ms": 1000 * offers[len(offers) // 2],
                   "accept_p50_ms": 1000 * waits[len(waits) // 2],
                   "accept_p99_ms": 1000 * waits[len(waits) * 99 // 100]}
        for name, pid in processes.items():
            figures[f"set_up_cpu_us_{name}"] = 1e6 * (cpu_seconds(pid) - before[name]) / len(calls)
        return [call.line() for call in calls], figures

    def close(self):
        if self.callers:
            self.callers.close()
        self.world.network.stop(self.process)
