# SPDX-License-Identifier: ISC
"""The fast load generator as an object, and the loads that it makes."""

from dataclasses import dataclass

from load import Generator

AUDIO, VIDEO = 172, 1200  # bytes of RTP


@dataclass(frozen=True)
class Shape:
    """How packets follow each other."""

    size: int = AUDIO
    burst: int = 1  # at a time in each direction
    train: int = 1  # of one flow behind each other

    def stream(self, first, count, rate):
        """That rate over so many flows, as blast wants it."""
        return f"{first}:{count}:{self.size}:{rate:.0f}:{self.burst}:{self.train}"


SPACED = Shape()
BURSTS = Shape(burst=32)
TRAINS = Shape(VIDEO, 16, 16)


def streams(shape, flows, rate):
    return [shape.stream(0, flows, rate)]


def mixed_streams(flows, rate):
    """One flow in ten is video and sends as many packets as the other nine, which are audio."""
    video = max(flows // 10, 1)
    return [SPACED.stream(0, flows - video, rate / 2),
            TRAINS.stream(flows - video, video, rate / 2)]


class Blast(Generator):
    def __init__(self, world):
        super().__init__(world, "blast", world.program("sink.bpf.o"))
        self.path = f"{world.directory}/flows"
        self.received = 0  # in all runs

    def load(self, lines):
        with open(self.path, "w", encoding="ascii") as file:
            file.writelines(line + "\n" for line in lines)
        answer = self.command(f"flows {self.path}")
        if not answer["ok"] or answer["flows"] != len(lines):
            raise RuntimeError(f"blast does not take the flows: {answer}")

    def pause(self, microseconds):
        """Sleeps so long when nothing is due, so that others get the core; 0: never sleeps."""
        self.command(f"pause {microseconds}")

    def run(self, words, seconds):
        """Streams as above. Returns the figures; 'refused' packets are lost as well: the relay's
        host had no room for them."""
        answer = self.command(f"run {seconds} {' '.join(words)}")
        f = answer["media"]
        self.received += f["received"]
        f["refused"] = f.pop("overflow")
        f["sending"] = answer["sending"]
        f["lost"] = 1 - (f["received"] - f["late"]) / f["sent"] if f["sent"] else 1.0
        f["packets_per_second"] = f["sent"] / f["seconds"]
        wanted = seconds * sum(float(word.split(":")[3]) for word in words)
        f["kept_up"] = f["sent"] >= 0.97 * wanted
        return f
