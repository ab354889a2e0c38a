#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Checks that no compiler makes: lint.py layers|headers|docs|format|scripts|tidy|longest [BUILD].

Prints what is wrong, one line each, and ends with 1; or nothing, and 0. BUILD is a build directory
with compile_commands.json, for tidy. 'longest' only prints.
"""

import os
import re
import subprocess
import sys

# A layer may include its own headers and those of the layers named (docs/ARCHITECTURE.md).
LAYERS = {
    "base": [],
    "codec": ["base"],
    "relay": ["base", "codec"],
    "obs": ["base", "codec", "relay"],
    "media": ["base", "codec", "relay"],
    "turn": ["base", "codec", "relay", "obs"],
    "signal": ["base", "codec", "relay", "obs", "turn"],
    "platform": ["base", "codec", "relay"],
    "app": ["base", "codec", "relay", "obs", "media", "turn", "signal", "platform"],
    "ctl": ["base", "platform"],
}
MARK = "SPDX-License-Identifier: ISC"
MARKED = re.compile(r"(\.(c|h|cjs|py|sh|conf|service|catalog|sysusers|txt|cmake|yml)|(^|/)[^./]+|^\.clang-(tidy|format))$")
UNMARKED = re.compile(r"^(LICENSE|COPYING)$|^debian/(changelog|copyright|not-installed|source/)|^tests/(data|fuzz/corpus)/|\.clang-format$")


def files(pattern=""):
    """The project's files, tracked or about to be."""
    done = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"],
                          check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"lint.py: {done.stderr.strip()}")
    return [name for name in done.stdout.split("\n") if name and re.search(pattern, name) and os.path.exists(name)]


def read(name):
    with open(name, encoding="utf-8", errors="replace") as file:
        return file.read()


def layers(_):
    for name in files(r"^(src|include)/.*\.[ch]$"):
        own = name.split("/")[1]
        for number, line in enumerate(read(name).splitlines(), 1):
            match = re.match(r'#include "(\w+)/', line)
            if match and match[1] in LAYERS and match[1] not in [own, *LAYERS[own]]:
                yield f"{name}:{number}: {own} may not include {match[1]}"


def headers(_):
    for name in files():
        if MARKED.search(name) and not UNMARKED.search(name):
            head = "\n".join(read(name).splitlines()[:3])
            if MARK not in head:
                yield f"{name}: no '{MARK}' in the first three lines"
        if name.startswith("include/") and "#pragma once" not in read(name):
            yield f"{name}: no #pragma once"


def docs(_):
    """Links and paths in the documents lead somewhere. That the tables of configuration keys and
    metrics are complete is a unit test (test_config_doc, test_obs)."""
    for name in files(r"\.md$"):
        text = read(name)
        places = [os.path.join(os.path.dirname(name), link)
                  for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)]
        places += re.findall(r"`((?:src|include|tests|scripts|docs|conf|systemd)/[\w./-]*\w)`", text)
        for place in places:
            if not os.path.exists(place):
                yield f"{name}: {place} does not exist"
    yield from _names("docs/CONFORMANCE.md", "docs/SECURITY.md")
    yield from _metrics("docs/METRICS.md", "conf/grafana/jingle-relayd.json",
                        "conf/prometheus/jingle-relayd.rules.yml")


def _metrics(known, *users):
    """What dashboard and alerts ask for is in the table of metrics, and the labels too."""
    table = read(known)
    names = set(re.findall(r"^\| (\w+) \|", table, re.M)) | {"worker_busy_seconds_total"}
    names |= {f"{histogram}_bucket" for histogram in re.findall(r"`(\w+_seconds)` \(", table)}
    values = set(re.findall(r'(\w+="\w*")', table))
    for name in users:
        text = read(name).replace('\\"', '"')
        used = set(re.findall(r"jingle_relay_(\w+)", text))
        yield from (f"{name}: there is no metric {missed}" for missed in sorted(used - names))
        selected = re.findall(r'[{,](\w+)(?:!=|=~|=)"([\w|]+)"', text)
        for label, value in selected:
            for one in value.split("|"):
                if f'{label}="{one}"' not in values:
                    yield f'{name}: there is no label {label}="{one}"'


def _names(*documents):
    """Functions that these documents name, `so()`, are in the sources, and what stands in the last
    column of their tables, `so`, is a test."""
    sources = "".join(read(name) for name in files(r"^(src|include)/.*\.[ch]$"))
    tests = "".join(read(name) for name in files(r"^tests/.*\.(c|py)$"))
    functions = set(re.findall(r"\b(\w+)\(", sources))
    defined = set(re.findall(r"\b(?:void|def) (\w+)\(", tests))
    for name in documents:
        for number, line in enumerate(read(name).splitlines(), 1):
            last = line.split("|")[-2] if line.startswith("|") else ""
            missing = [n + "()" for n in re.findall(r"`(\w+)\(\)`", line) if n not in functions]
            missing += [n for n in re.findall(r"`(\w+)`", last) if n not in defined]
            for missed in missing:
                yield f"{name}:{number}: there is no {missed}"


def _run(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        yield from (result.stdout + result.stderr).splitlines()


def format_(_):
    yield from _run("clang-format", "--dry-run", "-Werror", *files(r"\.[ch]$"))


def scripts(_):
    shell = [name for name in files(r"(\.sh|^quickstart|^check|^\.ci/run)$")]
    yield from _run("shellcheck", *shell)
    yield from _run("conf/ejabberd/compile.sh")
    python = files(r"\.py$") + ["tests/e2e/run", "tests/bench/run", "tests/bench/compare",
                                "tests/soak/thousand", "tests/conformance/run",
                                "tests/conformance/lab", "tests/package/run"]
    yield from _run("pyflakes3", *python)
    for name in files(r"\.(cjs|mjs|js)$"):
        yield from _run("node", "--check", name)


def tidy(build):
    root = re.escape(os.path.join(os.getcwd(), "src") + "/")
    result = subprocess.run(["nice", "-n", "15", "run-clang-tidy", "-quiet", "-p", build, root],
                            capture_output=True, text=True)
    found = {re.sub(r"\x1b\[[\d;]*m", "", line) for line in result.stdout.splitlines()
             if re.search(r"(error|warning): ", line)}
    yield from sorted(found)
    if result.returncode and not found:
        yield from result.stderr.splitlines()[-5:]


def _functions(name):
    """(lines, place) of each function: with this format a body stands between braces in column 0."""
    start = None
    lines = read(name).splitlines()
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            title = re.search(r"(\w+)\(", " ".join(lines[max(0, start - 4):start]).split("}")[-1])
            yield number - start + 1, f"{name}:{start} {title[1] if title else ''}"
            start = None


def longest(_):
    sources = files(r"^(src|include)/.*\.[ch]$")
    functions = sorted((f for name in sources for f in _functions(name)), reverse=True)
    lengths = sorted(((len(read(name).splitlines()), name) for name in sources), reverse=True)
    print("the ten longest functions:")
    for lines, place in functions[:10]:
        print(f"{lines:6} {place}")
    print("the ten longest files:")
    for lines, name in lengths[:10]:
        print(f"{lines:6} {name}")
    return []


def main():
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    checks = {f.__name__.rstrip("_"): f for f in (layers, headers, docs, format_, scripts, tidy,
                                                  longest)}
    if len(sys.argv) < 2 or sys.argv[1] not in checks:
        print(__doc__, file=sys.stderr)
        return 2
    wrong = list(checks[sys.argv[1]](sys.argv[2] if len(sys.argv) > 2 else "build"))
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
