# SPDX-License-Identifier: ISC
"""What is aimed at, and whether it was reached: ratios and bounds over the figures of
tests/bench/compare."""

from dataclasses import dataclass
from typing import Callable

BARE = ("epoll", "mmsg")


@dataclass(frozen=True)
class Aim:
    what: str
    bound: float
    least: bool  # the bound is the least, not the most
    measured: Callable  # of a function median(figure, target); None: not measured
    form: str = "{:.2f}"

    def row(self, median):
        """(wanted, measured, reached) as texts, or None."""
        value = self.measured(median)
        if value is None:
            return None
        reached = value >= self.bound if self.least else value <= self.bound
        wanted = f"{'at least' if self.least else 'at most'} {self.bound:,g}"
        text = self.form.format(value)
        if not reached and float(text.replace(",", "")) == self.bound:
            text = f"{value:.4g}"  # or a miss by a hair would look like none
        return wanted, text, "yes" if reached else "no"


def ratio(figure, target, other, other_figure=None):
    def measured(median):
        value, base = median(figure, target), median(other_figure or figure, other)
        return value / base if value is not None and base else None
    return measured


def to_best_bare(figure):
    """The smaller is the better here."""
    def measured(median):
        value = median(figure, "userspace")
        bare = [v for v in (median(figure, name) for name in BARE) if v]
        return value / min(bare) if value is not None and bare else None
    return measured


def plain(figure, target):
    return lambda median: median(figure, target)


def at_least(what, bound, measured, form="{:.2f}"):
    return Aim(what, bound, True, measured, form)


def at_most(what, bound, measured, form="{:.2f}"):
    return Aim(what, bound, False, measured, form)


AIMS = (
    at_least("fast path, packets/s: to coturn's", 6, ratio("pps", "fastpath", "coturn")),
    at_least("fast path, packets/s: to rtpengine's", 6, ratio("pps", "fastpath", "rtpengine")),
    at_least("fast path, packets/s: to IP forwarding's", 1,
             ratio("pps", "fastpath", "ipforward")),
    at_least("fast path, ChannelData, packets/s: to IP forwarding's", 0.9,
             ratio("pps", "fastpath_channel", "ipforward")),
    at_most("fast path, core time in bursts: to IP forwarding's", 0.7,
            ratio("core_ns_bursts", "fastpath", "ipforward")),
    at_most("fast path, core time in bursts: to coturn's", 0.2,
            ratio("core_ns_bursts", "fastpath", "coturn")),
    at_most("fast path, core time, spaced: to IP forwarding's", 0.9,
            ratio("core_ns_spaced", "fastpath", "ipforward")),
    at_most("fast path, core time, spaced: to coturn's", 0.4,
            ratio("core_ns_spaced", "fastpath", "coturn")),
    *(at_most(f"fast path, {label} at {rate} packets/s: to IP forwarding's", 1,
              ratio(f"{q}_us_{suffix}", "fastpath", "ipforward"))
      for rate, suffix in (("20,000", "20k"), ("100,000", "100k"))
      for label, q in (("p99", "p99"), ("p99.9", "p999"))),
    at_least("user space, packets/s: to coturn's", 1.7, ratio("pps", "userspace", "coturn")),
    at_least("user space, packets/s: to rtpengine's", 2, ratio("pps", "userspace", "rtpengine")),
    at_most("user space, core time, spaced: to the best bare forwarder's", 1,
            to_best_bare("core_ns_spaced")),
    at_most("user space, core time in bursts: to the best bare forwarder's", 1,
            to_best_bare("core_ns_bursts")),
    at_least("user space, trains, packets/s: to coturn's", 4,
             ratio("pps_trains", "userspace", "coturn")),
    at_least("user space, trains, packets/s: to the bare GRO/GSO forwarder's", 0.9,
             ratio("pps_trains", "userspace", "gro")),
    at_most("user space, p99 at 20,000 packets/s: to the best bare forwarder's", 1,
            to_best_bare("p99_us_20k")),
    at_most("KiB per call, user space, shared port", 6,
            plain("kib_per_call", "userspace_shared"), "{:.1f}"),
    at_most("KiB per call, fast path, shared port", 6,
            plain("kib_per_call", "fastpath_shared"), "{:.1f}"),
    at_most("KiB per call, user space, dedicated ports", 12,
            plain("kib_per_call", "userspace"), "{:.1f}"),
    at_most("KiB per call, fast path, dedicated ports", 12,
            plain("kib_per_call", "fastpath"), "{:.1f}"),
    at_least("calls opened and closed per second: core alone", 100000,
             plain("calls_per_second", "core"), "{:,.0f}"),
    at_least("calls opened and closed per second: through Prosody", 2000,
             plain("calls_per_second", "userspace"), "{:,.0f}"),
    at_most("TURN allocate and bind, us of CPU", 40,
            plain("allocate_cpu_us", "userspace_channel"), "{:.0f}"),
    at_least("5,000 flows to 100, packets/s: fast path", 0.9,
             ratio("pps_5000", "fastpath", "fastpath", "pps")),
    at_least("5,000 flows to 100, packets/s: user space", 0.9,
             ratio("pps_5000", "userspace", "userspace", "pps")),
    at_least("two workers to one, packets/s", 1.8, plain("workers_ratio", "userspace")),
    at_most("wake-ups per second with 1,000 silent calls: user space", 1,
            plain("wakeups_per_second", "userspace"), "{:.1f}"),
    at_most("wake-ups per second with 1,000 silent calls: fast path", 1,
            plain("wakeups_per_second", "fastpath"), "{:.1f}"),
)


def table(figures):
    rows = [(aim.what, aim.row(figures.median)) for aim in AIMS]
    lines = [f"| {what} | {' | '.join(row)} |" for what, row in rows if row]
    return "\n".join(["| aim | wanted | measured | reached |", "|---|---|---|---|", *lines, ""])
