# SPDX-License-Identifier: ISC
"""What a run says: lines while it goes, totals, and the tables of docs/CONFORMANCE.md."""

import json

from suite import GROUPS, LEVELS

VERDICTS = ("pass", "fail", "not applicable")
MARKS = {"pass": "ok  ", "fail": "FAIL", "not applicable": "n.a.", "accepted": "dev."}


def line(result):
    seen = f" - {result['seen']}" if result["seen"] else ""
    return f"{MARKS[result['verdict']]} {result['id']:<18} {result['level']:<6} " \
           f"{result['sentence']}{seen}"


def packets(result):
    return "".join(f"       {entry}\n" for entry in result.get("packets", []))


def totals(results):
    return ", ".join(f"{sum(r['verdict'] == verdict for r in results)} {verdict}"
                     for verdict in MARKS if any(r["verdict"] == verdict for r in results))


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


# --- markdown -------------------------------------------------------------------------------------

def _cell(text):
    return " ".join(text.replace("|", "\\|").replace("`", "'").split())


def _counts(results):
    failed = sum(r["verdict"] in ("fail", "accepted") for r in results)
    passed = sum(r["verdict"] == "pass" for r in results)
    if not results:
        return "-"
    return f"{passed} / {failed} / {len(results) - passed - failed}"


def _table(title, rows, runs):
    head = [f"| {title} | {' | '.join(run['name'] for run in runs)} |",
            "|---" * (len(runs) + 1) + "|"]
    return "\n".join(head + [f"| {' | '.join(row)} |" for row in rows])


def _rows(runs, key, names):
    for name, title in names.items():
        counts = [_counts([r for r in run["results"] if r[key] == name]) for run in runs]
        if any(count != "-" for count in counts):
            yield [_cell(title), *counts]
    yield ["all", *(_counts(run["results"]) for run in runs)]


def _failure(result):
    new = ", new in this RFC" if result["new"] else ""
    seen = result["seen"] if len(result["seen"]) < 220 else result["seen"][:217] + "..."
    why = f" Accepted: {_cell(result['why'])}" if "why" in result else ""
    return f"- **{result['id']}** ({result['level']}{new}): {_cell(result['sentence'])} " \
           f"*Seen: {_cell(seen)}*{why}"


def _failures(run):
    failed = [r for r in run["results"] if r["verdict"] in ("fail", "accepted")]
    if not failed:
        return f"### {run['name']}\n\nNo failure."
    return f"### {run['name']}\n\n" + "\n".join(map(_failure, failed))


def _not_applicable(runs):
    """Reasons, each with the cases that it took away."""
    rows = []
    for run in runs:
        reasons = {}
        for r in run["results"]:
            if r["verdict"] == "not applicable":
                reasons.setdefault(r["seen"], []).append(r["id"])
        rows += [[run["name"], _cell(reason), ", ".join(ids)] for reason, ids in reasons.items()]
    return "\n".join(["| server | reason | cases |", "|---|---|---|"]
                     + [f"| {' | '.join(row)} |" for row in rows])


def markdown(runs):
    """Several runs (as --json wrote them) side by side."""
    levels = {level: f"{level}: {text}" for level, text in LEVELS.items()}
    dates = ", ".join(f"{run['name']} on {run['date']}" for run in runs)
    parts = [f"Run with {dates}.", _table("passed / failed / not applicable", list(_rows(runs, "group", GROUPS)), runs),
             _table("by level", list(_rows(runs, "level", levels)), runs),
             *map(_failures, runs), "### Not applicable\n\n" + _not_applicable(runs)]
    return "\n\n".join(parts) + "\n"
