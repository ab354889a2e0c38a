# SPDX-License-Identifier: ISC
"""What tests/bench/compare measures, figure by figure."""

import contextlib
import json
import os
import subprocess
import time
from dataclasses import dataclass

from blast import BURSTS, SPACED, TRAINS, mixed_streams, streams
from figures import Figures
from measure import LOSS, Measure, say
from memory import KernelMemory, resident_kib
from targets import Channels, Jingle

FEW, MANY = 100, 5000  # flows
MEMORY_CALLS = 1000
CPU_RATE = 50000
LATENCY_RATES = {"20k": 20000, "100k": 100000}
GUESS = {"coturn": 80000, "rtpengine": 60000, "userspace": 110000, "epoll": 130000,
         "mmsg": 140000, "gro": 140000, "open": 130000, "ipforward": 450000, "fastpath": 450000,
         "bare": 450000}
LEAST, MOST = 2000, 5000000  # packets per second: nobody is outside of that here
STEPS = 14     # of a search
SETTLE = 5      # seconds until a daemon has nothing left to do for calls that fell silent
FAST_SHARE = 0.99  # less is worth a note
PAUSE_US = 50   # of a load generator that shares its core

# Which targets are measured by more than the usual figures.
WITH_MANY = ("ipforward", "bare", "mmsg", "userspace", "userspace_shared", "fastpath",
             "fastpath_shared")
WITH_TRAINS = ("ipforward", "mmsg", "gro", "coturn", "rtpengine", "userspace",
               "userspace_channel", "fastpath", "fastpath_channel")
WITH_MIX = ("ipforward", "mmsg", "gro", "coturn", "rtpengine", "userspace", "fastpath")
WITH_CALLS = ("coturn", "rtpengine", "userspace", "userspace_shared", "userspace_channel",
              "fastpath", "fastpath_shared", "fastpath_channel")
WITH_SILENCE = ("userspace", "fastpath")
FAST = ("fastpath", "fastpath_shared", "fastpath_channel")
WITH_WORKERS = ("epoll", "userspace", "userspace_shared")


@dataclass
class Plan:
    """How long to measure, in seconds, and how exactly."""

    rounds: int = 5
    cpu: float = 3
    latency: float = 3
    step: float = 1.5  # of the search for the most that is carried
    exact: float = 0.03
    idle: float = 20
    enough: float = 5400  # nothing is begun after so long, nor a round that would take longer


QUICK = Plan(rounds=2, cpu=2, latency=1.5, step=1, exact=0.08, idle=10, enough=840)


class Comparison(Measure):
    def __init__(self, world, plan, catalogue, blast, names):
        super().__init__(world, plan, Figures((), ()))
        self.catalogue = catalogue
        self.blast = blast
        self.names = names
        self.began = time.monotonic()
        self.guess = {}   # most packets per second by target and figure, from the round before
        self.sending = 0  # blast's share of its core in the last step that was carried

    def round(self, number):
        self.note_others()
        self._phase("audio", self.names, number, self.audio)
        self.world.join_trains(True)
        try:
            self._phase("trains", WITH_TRAINS, number, self.trains)
        finally:
            self.world.join_trains(False)
        self._phase("calls", WITH_CALLS, number, self.calls)
        for name in self._in_turns(WITH_WORKERS, number):
            self.workers(name)
        self.core()

    def out_of_time(self, what):
        """Says what comes next; if there is no time for it, that is a note."""
        if time.monotonic() - self.began > self.plan.enough:
            self.figures.note("there was not the time for all figures in all rounds")
            return True
        say(f"  {what}")
        return False

    def _in_turns(self, names, number):
        """Those of them that are wanted, forwards and backwards in turns."""
        return [name for name in names if name in self.names][::-1 if number % 2 else 1]

    def _phase(self, title, names, number, measure):
        for name in self._in_turns(names, number):
            if self.out_of_time(f"{title}: {name}"):
                continue
            with self._going_on(name, title), KernelMemory() as kernel, \
                    contextlib.ExitStack() as stack:
                with kernel.children():
                    target = stack.enter_context(self.catalogue.open(name))
                target.name = name
                measure(target, kernel)

    @contextlib.contextmanager
    def _going_on(self, name, title):
        """A target that cannot be measured spoils its own figures only."""
        try:
            yield
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            say(f"    {error}")
            self.figures.note(f"{name}: {title}: {error}")

    # --- what is measured of one target ---

    def audio(self, target, _):
        received = self.blast.received
        self.load(target, FEW)
        for suffix, rate in LATENCY_RATES.items():
            self.latency(target, rate, suffix)
        self.cpu(target, SPACED, "spaced")
        self.cpu(target, BURSTS, "bursts")
        self.most(target, "pps", lambda rate: streams(SPACED, FEW, rate), FEW)
        if target.pid is None:
            f = self.blast.run(streams(SPACED, FEW, MOST), self.plan.step)
            self.figures.add("pps", "generator", f["packets_per_second"])
        if target.name in WITH_MANY:
            self.load(target, MANY)
            self.most(target, "pps_5000", lambda rate: streams(SPACED, MANY, rate), MANY)
        if target.name in FAST:
            self.fast_share(target, self.blast.received - received)

    def fast_share(self, target, received):
        """Of the packets that arrived."""
        share = target.fast_packets() / received
        self.figures.add("fast_share", target.name, share)
        if share < FAST_SHARE:
            self.figures.note(f"{target.name}: {100 * share:.0f} % of the packets took the fast "
                              "path")

    def trains(self, target, _):
        self.load(target, FEW)
        self.cpu(target, TRAINS, "trains")
        self.most(target, "pps_trains", lambda rate: streams(TRAINS, FEW, rate), FEW)
        if target.name in WITH_MIX:
            self.most(target, "pps_mix", lambda rate: mixed_streams(FEW, rate), FEW)

    def calls(self, target, kernel):
        self.memory(target, kernel)
        if isinstance(target, Channels):
            self.figures.add("allocate_cpu_us", target.name, target.cpu_us)
        if isinstance(target, Jingle):
            opening = target.seconds
            if target.name in WITH_SILENCE:
                self.wakeups(target)
            self.figures.add("calls_per_second", target.name,
                             MEMORY_CALLS / (opening + target.end()))

    def core(self):
        """The relay's core without sockets and signalling."""
        if self.out_of_time("core"):
            return
        answer = subprocess.run(
            self.world.on_relay_core(self.world.program("corerate"), "--json"),
            check=True, capture_output=True, text=True).stdout
        for figure, value in json.loads(answer).items():
            self.figures.add(figure, "core", value)

    def workers(self, name):
        """Two workers on two cores against one on its own. The load generator's share of its core,
        known from where it has one to itself, is taken out."""
        cpus = {self.world.relay_cpu, self.world.load_cpu}
        if len(cpus) < 2 or self.out_of_time(f"workers: {name}"):
            return
        self.blast.pause(PAUSE_US)
        try:
            one = self._workers(name, 1, {self.world.relay_cpu})
            per_packet = self.sending / one if one else 0
            two = self._workers(name, 2, cpus)
        finally:
            self.blast.pause(0)
            self.world.receive_on(self.world.relay_cpu)
        if one and two:
            self.figures.add("workers_ratio", name, 2 * two / (2 - per_packet * two) / one)

    def _workers(self, name, count, cpus):
        say(f"    {count}")
        self.world.receive_on(*cpus)
        with self._going_on(name, "workers"), \
                self.catalogue.open(name, count, cpus) as target:
            target.name = name
            self.load(target, FEW)
            return self.most(target, f"pps_workers_{count}",
                             lambda rate: streams(SPACED, FEW, rate), FEW)
        return None

    # --- one method per kind of figure ---

    def load(self, target, count):
        self.blast.load(target.flows(count))
        # The first packets of a flow may be dear, and say nothing: ten of each direction.
        self.blast.run(streams(SPACED, count, max(10 * count, 5000)), max(0.5, count / 2500))

    def latency(self, target, rate, suffix):
        f = self.blast.run(streams(SPACED, FEW, rate), self.plan.latency)
        if f["lost"] > LOSS or not f["kept_up"]:
            say(f"    {suffix}: {100 * f['lost']:.2f} % lost, no latency")
            return
        for q in ("p50", "p99", "p999"):
            self.figures.add(f"{q}_us_{suffix}", target.name, f[f"{q}_us"])

    def cpu(self, target, shape, how):
        """Of the core; and of the process, where there is one."""
        self.cpu_per_packet(target, how, lambda seconds: self.note_doubts(
            target, self.blast.run(streams(shape, FEW, CPU_RATE), seconds),
            f"{CPU_RATE} packets/s ({how})"))

    def memory(self, target, kernel):
        """Of calls that have carried a little; what the kernel takes for them is in it."""
        before = resident_kib(target.pid), kernel.kib()
        self.figures.add("kib_at_start", target.name, before[0] + (before[1] or 0))
        self.load(target, MEMORY_CALLS)
        after = resident_kib(target.pid), kernel.kib()
        resident = (after[0] - before[0]) / MEMORY_CALLS
        self.figures.add("resident_kib_per_call", target.name, resident)
        if before[1] is not None:
            of_kernel = (after[1] - before[1]) / MEMORY_CALLS
            self.figures.add("kernel_kib_per_call", target.name, of_kernel)
            self.figures.add("kib_per_call", target.name, resident + of_kernel)

    def wakeups(self, target):
        """Of a daemon whose calls are all silent."""
        time.sleep(SETTLE)  # until it is done with what was
        before = switches(target.pid)
        time.sleep(self.plan.idle)
        self.figures.add("wakeups_per_second", target.name,
                         (switches(target.pid) - before) / self.plan.idle)

    def carries(self, target, words, flows):
        """Whether that load is carried, in the better of two tries, and whether blast kept up."""
        for _ in range(2):
            f = self.blast.run(words, self.plan.step)
            if f["lost"] <= LOSS:
                self.sending = f["sending"] / f["seconds"]
                return True, f["kept_up"], f["packets_per_second"]
            target.revive()
            self.blast.load(target.flows(flows))
            time.sleep(0.2)
        return False, True, f["packets_per_second"]

    def most(self, target, figure, words_for, flows):
        """The most packets per second of which no more than LOSS are lost or late: from a guess in
        steps, then by bisection. Where blast itself is the limit, that is a note."""
        low, high = 0, None
        step = 1.1 if (target.name, figure) in self.guess else 1.25
        rate = self.guess.get((target.name, figure), GUESS[target.name.partition("_")[0]])
        for _ in range(STEPS):
            if rate > MOST or rate < LEAST or (low and high and
                                               high - low <= self.plan.exact * high):
                break
            carried, kept_up, reached = self.carries(target, words_for(rate), flows)
            say(f"    {figure} {rate:.0f}: {'carried' if carried else 'not carried'}")
            if carried and not kept_up:
                self.figures.note(f"{target.name}: {figure} is bounded by the load generator")
                low = max(low, reached)
                break
            low, high = (rate, high) if carried else (low, min(rate, reached))
            rate = next_rate(low, high, step)
            step *= 1.1  # who guessed badly should not take long to find out
        self.guess[target.name, figure] = max(low, LEAST)
        if low:
            self.figures.add(figure, target.name, low)
        else:
            self.figures.note(f"{target.name}: {figure}: nothing was carried in a round")
        return low


def next_rate(low, high, step):
    if high is None:
        return low * step
    return (low + high) / 2 if low else high / step


def switches(pid):
    """How often its threads went to sleep by themselves, and so had to be woken."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as file:
            total += next(int(line.split()[1]) for line in file
                          if line.startswith("voluntary_ctxt_switches"))
    return total
