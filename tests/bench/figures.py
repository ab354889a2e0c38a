# SPDX-License-Identifier: ISC
"""What was measured: samples by figure and target, their medians and spreads, as a table and JSON."""

import statistics

# figure, what the table calls it, and its format
ROWS = (
    ("calls_per_core", "calls per core", "{:.0f}"),
    ("latency_p50_us", "latency at 20,000 packets/s, p50, us", "{:.0f}"),
    ("latency_p99_us", "latency at 20,000 packets/s, p99, us", "{:.0f}"),
    ("added_p50_us", "  of that added to the wire's, p50, us", "{:.0f}"),
    ("added_p99_us", "  of that added to the wire's, p99, us", "{:.0f}"),
    ("process_ns_spaced", "CPU per packet, spaced: process, ns", "{:.0f}"),
    ("core_ns_spaced", "CPU per packet, spaced: core, ns", "{:.0f}"),
    ("process_ns_bursts", "CPU per packet, bursts of 32: process, ns", "{:.0f}"),
    ("core_ns_bursts", "CPU per packet, bursts of 32: core, ns", "{:.0f}"),
    ("resident_kib_per_call", "memory per call: resident, KiB", "{:.1f}"),
    ("kernel_kib_per_call", "memory per call: kernel, KiB", "{:.1f}"),
    ("set_up_per_second", "calls set up per second", "{:.0f}"),
    ("offer_p50_ms", "  until the responder has the offer, p50, ms", "{:.0f}"),
    ("accept_p50_ms", "  until the initiator has the answer, p50, ms", "{:.0f}"),
    ("accept_p99_ms", "  until the initiator has the answer, p99, ms", "{:.0f}"),
    ("set_up_cpu_us_daemon", "  CPU per call: daemon, us", "{:.0f}"),
    ("set_up_cpu_us_prosody", "  CPU per call: Prosody, us", "{:.0f}"),
    ("set_up_cpu_us_script", "  CPU per call: scripted clients, us", "{:.0f}"),
)


class Figures:
    """rows: as ROWS; columns: the targets, of which the last two are compared."""

    def __init__(self, rows, columns):
        self.rows = rows
        self.columns = columns
        self.samples = {}  # (figure, target): list
        self.notes = []    # what makes a sample doubtful

    def add(self, figure, target, value):
        if value is not None:
            self.samples.setdefault((figure, target), []).append(float(value))

    def note(self, text):
        self.notes.append(text)

    def median(self, figure, target):
        samples = self.samples.get((figure, target))
        return statistics.median(samples) if samples else None

    def _cell(self, figure, target, form):
        samples = self.samples.get((figure, target))
        if not samples:
            return ""
        text = form.format(statistics.median(samples))
        if len(samples) > 1:
            text += f" [{form.format(min(samples))}..{form.format(max(samples))}]"
        return text

    def _ratio(self, figure):
        other, daemon = (self.median(figure, target) for target in self.columns[-2:])
        return f"{daemon / other:.2f}" if daemon is not None and other else ""

    def table(self):
        form = "{:46}" + " {:>22}" * len(self.columns) + " {:>6}"
        lines = [form.format("", *self.columns, "ratio")]
        for figure, title, number in self.rows:
            cells = [self._cell(figure, target, number) for target in self.columns]
            if any(cells):
                lines.append(form.format(title, *cells, self._ratio(figure)).rstrip())
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def as_dict(self):
        result = {}
        for (figure, target), samples in self.samples.items():
            result.setdefault(figure, {})[target] = {
                "median": round(statistics.median(samples), 3), "min": round(min(samples), 3),
                "max": round(max(samples), 3), "n": len(samples)}
        return result
