# SPDX-License-Identifier: ISC
"""What tests/bench/compare measures, figure by figure."""

import time
from dataclasses import dataclass

from blast import BURSTS, SPACED, streams
from figures import Figures
from measure import LOSS, Measure, say

FEW, MANY = 100, 5000  # flows
CPU_RATE = 50000
LATENCY_RATES = {"20k": 20000, "100k": 100000}
GUESS = {"coturn": 80000, "rtpengine": 60000, "userspace": 110000, "epoll": 130000,
         "mmsg": 140000, "gro": 140000, "ipforward": 450000}
MOST = 5000000  # nobody forwards so many packets per second here


@dataclass
class Plan:
    """How long to measure, in seconds, and how exactly."""

    rounds: int = 5
    cpu: float = 4
    latency: float = 4
    step: float = 2    # of the search for the most that is carried
    exact: float = 0.03
    spin_before: float = 0.5


QUICK = Plan(rounds=2, cpu=2.5, latency=2, step=1.2, exact=0.06)


class Comparison(Measure):
    def __init__(self, world, plan, catalogue, blast, names):
        super().__init__(world, plan, Figures((), ()))
        self.catalogue = catalogue
        self.blast = blast
        self.names = names
        self.guess = {}  # most packets per second by target and figure, from the round before

    def round(self, number):
        self.note_others()
        for name in self._in_turns(self.names, number):
            say(f"  {name}")
            with self.catalogue.open(name) as target:
                target.name = name
                self.audio(target)

    @staticmethod
    def _in_turns(names, number):
        return names if number % 2 == 0 else names[::-1]

    def audio(self, target):
        self.load(target, FEW)
        for suffix, rate in LATENCY_RATES.items():
            self.latency(target, rate, suffix)
        self.cpu(target, SPACED, "spaced")
        self.cpu(target, BURSTS, "bursts")
        self.most(target, "pps", lambda rate: streams(SPACED, FEW, rate), FEW)

    # --- one method per kind of figure ---

    def load(self, target, count):
        self.blast.load(target.flows(count))
        # The first packets of a flow may be dear, and say nothing.
        self.blast.run(streams(SPACED, count, max(10 * count, 5000)), 0.5)

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

    def carries(self, target, words, flows):
        """Whether that load is carried, in the better of two tries, and whether blast kept up."""
        for _ in range(2):
            f = self.blast.run(words, self.plan.step)
            if f["lost"] <= LOSS:
                return True, f["kept_up"], f["packets_per_second"]
            target.revive()
            self.blast.load(target.flows(flows))
            time.sleep(0.2)
        return False, True, f["packets_per_second"]

    def most(self, target, figure, words_for, flows):
        """The most packets per second of which no more than LOSS are lost or late: from a guess in
        steps of a quarter, then by bisection. Where blast itself is the limit, that is a note."""
        low, high = 0, None
        rate = self.guess.get((target.name, figure), GUESS.get(target.name, 150000))
        while rate < MOST and (high is None or low == 0 or high - low > self.plan.exact * high):
            carried, kept_up, reached = self.carries(target, words_for(rate), flows)
            say(f"    {figure} {rate:.0f}: {'carried' if carried else 'not carried'}")
            if carried and not kept_up:
                self.figures.note(f"{target.name}: {figure} is bounded by the load generator")
                low = max(low, reached)
                break
            low, high = (rate, high) if carried else (low, min(rate, reached))
            rate = self._next(low, high)
            if rate < 1000:
                break
        self.guess[target.name, figure] = max(low, 1000)
        self.figures.add(figure, target.name, low)

    @staticmethod
    def _next(low, high):
        if high is None:
            return low * 1.25
        return (low + high) / 2 if low else high * 0.75
