# SPDX-License-Identifier: ISC
"""The figures of tests/bench/compare as tables in Markdown, as one line of JSON, and in
docs/PERFORMANCE.md between two marks."""

import json
import os
import statistics

from targets import KINDS
from world import ROOT

DOCUMENT = f"{ROOT}/docs/PERFORMANCE.md"
BEGIN = "<!-- written by tests/bench/compare: begin -->\n"
END = "<!-- written by tests/bench/compare: end -->\n"

US = ("{:.1f}", 1000)     # of ns
WHOLE = ("{:,.0f}", 1)
THOUSANDS = ("{:,.0f}", 1000)

# A table: title of a column, its figures, their form.
AUDIO = (
    ("packets/s, thousands", ("pps",), THOUSANDS),
    ("core, us per packet, spaced", ("core_ns_spaced",), US),
    ("in bursts", ("core_ns_bursts",), US),
    ("process, us, spaced", ("process_ns_spaced",), US),
    ("in bursts", ("process_ns_bursts",), US),
)
LATENCY = tuple((f"{label}: {q}", (f"{q.replace('.', '')}_us_{suffix}",), WHOLE)
                for label, suffix in (("20,000 packets/s", "20k"), ("100,000 packets/s", "100k"))
                for q in ("p50", "p99", "p99.9"))
LOADS = (
    ("5,000 flows, packets/s, thousands", ("pps_5000",), THOUSANDS),
    ("trains of 1,200 bytes, packets/s, thousands", ("pps_trains",), THOUSANDS),
    ("trains: core, us per packet", ("core_ns_trains",), US),
    ("mix, packets/s, thousands", ("pps_mix",), THOUSANDS),
)
CALLS = (
    ("KiB per call", ("kib_per_call",), ("{:.1f}", 1)),
    ("of that in the kernel", ("kernel_kib_per_call",), ("{:.1f}", 1)),
    ("without calls, MiB", ("kib_at_start",), ("{:.1f}", 1024)),
    ("opened and closed per second", ("calls_per_second",), WHOLE),
    ("allocate and bind, CPU, us", ("allocate_cpu_us",), WHOLE),
    ("wake-ups per second, 1,000 silent calls", ("wakeups_per_second",), ("{:.1f}", 1)),
    ("two workers against one", ("workers_ratio",), ("{:.2f}", 1)),
)
TABLES = (
    ("172 bytes, 100 flows", AUDIO),
    ("latency, us", LATENCY),
    ("other loads", LOADS),
    ("calls", CALLS),
)
NAMES = {**{name: kind[0] for name, kind in KINDS.items()},
         "core": "this daemon's core alone: calls",
         "generator": "what the load generator sends at most"}


def cell(samples, form):
    text, unit = form
    values = [value / unit for value in samples]
    median = text.format(statistics.median(values))
    low, high = (text.format(f(values)) for f in (min, max))
    return median if low == high else f"{median} [{low}..{high}]"


def table(figures, title, columns, names):
    """Rows are targets; columns and rows in which nothing is are left out."""
    samples = {(name, keys): figures.samples.get((keys[0], name))
               for name in names for _, keys, _ in columns}
    columns = [column for column in columns if any(samples[name, column[1]] for name in names)]
    rows = [name for name in names if any(samples[name, column[1]] for column in columns)]
    if not rows:
        return ""
    lines = [f"| {title} | " + " | ".join(head for head, _, _ in columns) + " |",
             "|---|" + "---|" * len(columns)]
    for name in rows:
        cells = [cell(samples[name, keys], form) if samples[name, keys] else ""
                 for _, keys, form in columns]
        lines.append(f"| {NAMES[name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def all_tables(figures, names):
    return "\n".join(filter(None, (table(figures, title, columns, names)
                                   for title, columns in TABLES)))


def as_json(figures, **more):
    """{target: {figure: median}}; the same under 'spread' with [least, most]."""
    result, spread = {}, {}
    for (figure, target), samples in figures.samples.items():
        result.setdefault(target, {})[figure] = round(statistics.median(samples), 3)
        spread.setdefault(target, {})[figure] = [round(min(samples), 3), round(max(samples), 3)]
    return json.dumps({**result, "spread": spread, "notes": figures.notes, **more})


def write_document(text):
    """Replaces what is between the marks."""
    with open(DOCUMENT, encoding="utf-8") as file:
        before, begin, rest = file.read().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RuntimeError(f"{DOCUMENT} has no place for the tables")
    with open(DOCUMENT + ".new", "w", encoding="utf-8") as file:
        file.write(before + BEGIN + text + END + after)
    os.replace(DOCUMENT + ".new", DOCUMENT)
