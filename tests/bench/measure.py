# SPDX-License-Identifier: ISC
"""What all benchmarks have in common: how long they measure, and how they see what a core does."""

import os
import platform
import subprocess
import sys
import time

from forwarders import cpu_seconds

# What all tasks have used, by core, in ns; where control groups of version 1 are mounted.
USED = "/sys/fs/cgroup/cpuacct/cpuacct.usage_percpu"

LOSS = 0.001         # what a core may lose, late packets included, and still carry its load
OTHERS = 0.05        # more of the core for other programs is worth a note
SPOILT = 0.3         # so much, and the core's time is anybody's
BURST = 32


class Plan:
    """How long to measure, in seconds, and how exactly."""

    def __init__(self, quick):
        self.rounds = 1 if quick else 3
        self.latency = 3 if quick else 5
        self.cpu = 3 if quick else 4
        self.step = 1.5 if quick else 2.5    # of the search for the most that is carried
        self.exact = 0.08 if quick else 0.04


def say(text):
    print(text, file=sys.stderr, flush=True)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.machine(), "cores": os.cpu_count(),
            "kernel": platform.release().partition("-")[0]}


class Measure:
    """A benchmark: its world, and the figures that it has given so far."""

    def __init__(self, world, plan, figures):
        self.world = world
        self.plan = plan
        self.figures = figures

    def spin(self, seconds, delay=0):
        """How busy the relay's core is; prints a share, and its own seconds."""
        command = f"sleep {delay}; exec '{self.world.program('spin')}' {self.world.relay_cpu} {seconds}"
        return subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True)

    def note_others(self):
        """Before a round: what do other programs take?"""
        share = float(self.spin(0.5).communicate()[0].split()[0])
        self.figures.add("other_work_share", "machine", share)
        if share > OTHERS:
            self.figures.note(f"other programs took {100 * share:.0f} % of the relay's core before a "
                              "round: its figures say little, those of the core nothing")

    def note_doubts(self, target, f, what):
        if not f["kept_up"]:
            self.figures.note(f"{target.name}: the load generator did not keep up with {what}")
        if f["lost"] > LOSS:
            self.figures.note(f"{target.name}: {100 * f['lost']:.1f} % lost with {what}")
        return f

    def cpu_per_packet(self, target, suffix, run):
        """run(seconds) sends for so long, and returns figures of Load. Where the kernel forwards
        there is no process."""
        seconds = self.plan.cpu
        spin = self.spin(seconds - 1, 0.5)
        used, foreign, start = self._used(target), self._foreign(target), time.monotonic()
        f = run(seconds)
        share, spun = map(float, spin.communicate()[0].split())
        if target.pid:
            self.figures.add(f"process_ns_{suffix}", target.name,
                             1e9 * (self._used(target) - used) / max(f["received"], 1))
        if foreign is not None:
            foreign = max(self._foreign(target) - foreign - spun, 0) / (time.monotonic() - start)
            share -= foreign
            if foreign > OTHERS:
                self.figures.note(f"{target.name}: other programs took {100 * foreign:.0f} % of "
                                  f"the core while its time was measured ({suffix})")
        if foreign is None or foreign < SPOILT:
            self.figures.add(f"core_ns_{suffix}", target.name,
                             1e9 * share / f["packets_per_second"])

    @staticmethod
    def _used(target):
        return cpu_seconds(target.pid) if target.pid else 0

    def _foreign(self, target):
        """Seconds of the relay's core that neither the target's process had nor the kernel's
        threads that receive for it; None where the kernel does not tell."""
        try:
            with open(USED, encoding="ascii") as file:
                used = int(file.read().split()[self.world.relay_cpu]) / 1e9
        except FileNotFoundError:
            return None
        return used - self._used(target) - sum(map(cpu_seconds, self.world.receivers()))

    def search(self, carries, start, most, step=1):
        """The most that is carried: up by quarters until too many, then bisection. carries(n) says
        whether n are, and whether the load generator could tell. Returns it, and whether it was
        found or only bounded by 'most' or by the generator."""
        low, high, n = 0, None, start
        while high is None or high - low > max(self.plan.exact * high, step):
            carried, kept_up = carries(n)
            if not kept_up or (carried and n == most):
                return (n if carried and kept_up else low), False
            low, high = (n, high) if carried else (low, n)
            say(f"    {n}: {'carried' if carried else 'not carried'}")
            n = (low + high) // 2 if high else min(n * 5 // 4, most)
        return low, True
