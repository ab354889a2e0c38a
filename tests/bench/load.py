# SPDX-License-Identifier: ISC
"""The load generators as objects: Load is rtpload; turn.py has turnload, blast.py blast."""

import json
import subprocess


class Generator:
    """A program that takes commands and answers each with one line of JSON."""

    def __init__(self, world, program, *arguments):
        self.world = world
        self.name = program
        self.process = subprocess.Popen(
            ["nice", "-n", "-10", world.program(program), *arguments, world.side("a"),
             world.side("b")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)

    def command(self, text):
        self.process.stdin.write(text + "\n")
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended with status {self.process.wait()}")
        answer = json.loads(answer)
        if "error" in answer:
            raise RuntimeError(f"{text}: {answer['error']}")
        return answer

    def media(self, count, rate, seconds, burst, *more):
        """RTP both ways through the first of what there is, packets per second and direction."""
        f = self.command(" ".join(["run", str(count), str(rate), str(seconds), str(burst), *more]))
        f["lost"] = 1 - (f["received"] - f["late"]) / f["sent"] if f["sent"] else 1.0
        f["packets_per_second"] = f["sent"] / f["seconds"]
        f["kept_up"] = f["overflow"] == 0 and f["sent"] >= 0.97 * 2 * count * rate * seconds
        return f


class Load(Generator):
    def __init__(self, world):
        super().__init__(world, "rtpload")
        self.calls = 0

    def add(self, lines):
        """More calls; their clients prove themselves."""
        with open(f"{self.world.directory}/calls", "w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
        answer = self.command(f"load {self.world.directory}/calls")
        self.calls += len(lines)
        if not answer["ok"] or answer["calls"] != self.calls:
            raise RuntimeError(f"rtpload does not take the calls: {answer}")
        answer = self.command("latch 20")
        if answer["answered"] < answer["clients"]:
            raise RuntimeError(f"only {answer['answered']} of {answer['clients']} clients had an "
                               "answer to their checks")
        return answer

    def forget(self):
        self.command("forget")
        self.calls = 0

    def run(self, calls, seconds, rate=50, burst=1):
        return self.media(calls, rate, seconds, burst)
