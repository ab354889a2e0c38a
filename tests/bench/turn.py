# SPDX-License-Identifier: ISC
"""The daemon as a TURN server, and coturn beside it: what run --turn measures.

Both have one core, one thread that relays, the same ports and the same kind of credentials, and
neither limits anything: all clients have one address here and one user name.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import shutil
import time

from figures import Figures
from forwarders import Daemon, cpu_seconds
from load import Generator
from measure import BURST, LOSS, Measure, say
from memory import KernelMemory, resident_kib
from world import PORTS, RELAY_IP, wait_for, write

ROWS = (
    ("allocations_per_second", "allocations per second", "{:.0f}"),
    ("allocation_p50_us", "  first request to last answer, p50, us", "{:.0f}"),
    ("allocation_p99_us", "  first request to last answer, p99, us", "{:.0f}"),
    ("releases_per_second", "releases per second", "{:.0f}"),
    ("allocation_cpu_us", "CPU per allocation, us", "{:.0f}"),
    ("release_cpu_us", "CPU per release, us", "{:.0f}"),
    ("resident_kib", "memory per allocation: resident, KiB", "{:.1f}"),
    ("kernel_kib", "memory per allocation: kernel, KiB", "{:.1f}"),
    ("channel_packets_per_second", "ChannelData: most packets/s", "{:.0f}"),
    ("indication_packets_per_second", "Send/Data indications: most packets/s", "{:.0f}"),
    ("latency_p50_us", "latency at 20,000 packets/s, p50, us", "{:.0f}"),
    ("latency_p99_us", "latency at 20,000 packets/s, p99, us", "{:.0f}"),
    ("latency_p999_us", "latency at 20,000 packets/s, p99.9, us", "{:.0f}"),
    ("added_p50_us", "  of that added to the wire's, p50, us", "{:.0f}"),
    ("added_p99_us", "  of that added to the wire's, p99, us", "{:.0f}"),
    ("added_p999_us", "  of that added to the wire's, p99.9, us", "{:.0f}"),
    ("process_ns_channel_spaced", "ChannelData, spaced: process, ns", "{:.0f}"),
    ("core_ns_channel_spaced", "ChannelData, spaced: core, ns", "{:.0f}"),
    ("process_ns_channel_bursts", "ChannelData, bursts of 32: process, ns", "{:.0f}"),
    ("core_ns_channel_bursts", "ChannelData, bursts of 32: core, ns", "{:.0f}"),
    ("process_ns_indication_spaced", "indications, spaced: process, ns", "{:.0f}"),
    ("core_ns_indication_spaced", "indications, spaced: core, ns", "{:.0f}"),
    ("process_ns_indication_bursts", "indications, bursts of 32: process, ns", "{:.0f}"),
    ("core_ns_indication_bursts", "indications, bursts of 32: core, ns", "{:.0f}"),
)
ALLOCATIONS = 2000  # for memory and speed
LATENCY_FLOWS = 200
CPU_FLOWS = 500     # 50,000 packets/s
WINDOW = 64         # allocations under way at a time
SOME_PACKETS = 1    # seconds of media before memory is read
FIRST_GUESS, MOST = 80, 2000  # packets/s of a flow and direction
PORT, STATE = 3478, "coturn"
SECRET = "bench-secret-of-more-than-128-bits"

COTURN = """
listening-ip={ip}
relay-ip={ip}
listening-port={port}
min-port={ports[0]}
max-port={ports[1]}
realm=bench.example.test
use-auth-secret
static-auth-secret={secret}
relay-threads=1
no-tls
no-dtls
no-cli
no-multicast-peers
stale-nonce=0
user-quota=0
total-quota=0
no-stdout-log
log-file={directory}/turn.log
simple-log
pidfile={directory}/turn.pid
userdb={directory}/turndb.sqlite
"""

TURN = """
turn: {{
  enabled = true;
  realm = "bench.example.test";
  ports = [ {port} ];
  secret_files = [ "{directory}/turn-secret" ];
}};
"""
LIMITS = "allocations = 0; allocations_per_user = 0; stun_answers = 0;"


def credential():
    """TURN REST: good for a day, password by the shared secret."""
    username = f"{int(time.time()) + 86400}:bench@example.test"
    mac = hmac.new(SECRET.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(mac).decode()


class TurnWire:
    """The network alone: clients and their peers send to each other."""

    name = "wire"
    pid = None

    def __init__(self, world):
        pass

    def close(self):
        pass


class Coturn:
    name = "coturn"

    def __init__(self, world):
        self.world = world
        self.directory = f"{world.directory}/{STATE}"
        shutil.rmtree(self.directory, ignore_errors=True)
        os.mkdir(self.directory)
        config = write(f"{self.directory}/turnserver.conf", COTURN.format(
            ip=RELAY_IP, port=PORT, ports=PORTS, secret=SECRET, directory=self.directory))
        self.process = world.network.start(
            "relay", *world.on_relay_core("turnserver", "-c", config), log="coturn")
        self.pid = self.process.pid
        wait_for("coturn", self._is_up, 20)
        time.sleep(1)  # its threads begin after its sockets

    def _is_up(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"coturn ended: {self.world.log('coturn')}")
        listening = self.world.network.run("relay", "ss", "-Hlun", f"sport = :{PORT}",
                                           capture_output=True)
        return listening.stdout != b""

    def close(self):
        self.world.network.stop(self.process)


class TurnDaemon(Daemon):
    """jingle-relayd as TURN server."""

    def __init__(self, world, relay=""):
        write(f"{world.directory}/turn-secret", SECRET + "\n")
        os.chmod(f"{world.directory}/turn-secret", 0o600)
        super().__init__(world, limits=LIMITS, relay=relay,
                         more=TURN.format(port=PORT, directory=world.directory))


class TurnLoad(Generator):
    def __init__(self, world):
        super().__init__(world, "turnload")
        self.count = 0

    def aim(self):
        username, password = credential()
        if not self.command(f"server {RELAY_IP} {PORT} {username} {password}")["ok"]:
            raise RuntimeError("turnload does not take the server")

    def allocate(self, count, form):
        """That many allocations; returns the figures of making them."""
        f = self.command(f"allocate {count} {WINDOW} 60 {form}")
        if f["done"] != count:
            raise RuntimeError(f"not all allocations were made: {f}")
        self.count = count
        return f

    def release(self):
        f = self.command(f"release {WINDOW} 60")
        if f["done"] != self.count:
            raise RuntimeError(f"not all allocations were released: {f}")
        self.forget()
        return f

    def forget(self):
        self.command("forget")
        self.count = 0

    def write_flows(self, path):
        """What was allocated, for blast."""
        if not self.command(f"flows {path}")["ok"]:
            raise RuntimeError("turnload does not write its flows")

    def run(self, count, seconds, rate=50, burst=1, form="relay"):
        return self.media(count, rate, seconds, burst, form)


class TurnBench(Measure):
    """Allocations, and media through them."""

    def __init__(self, world, load, plan):
        super().__init__(world, plan, Figures(ROWS, ("wire", "coturn", "daemon")))
        self.load = load
        self.most = {}  # packets per second by target and form, from the round before

    def round(self, number):
        self.note_others()
        for kind in [TurnWire] + ([Coturn, TurnDaemon] if number % 2 == 0 else [TurnDaemon, Coturn]):
            say(f"  {kind.name}")
            self.load.forget()
            with KernelMemory() as kernel, contextlib.closing(kind(self.world)) as target:
                self.measure(target, kernel)

    def measure(self, target, kernel):
        if target.pid is None:
            self.latency(target, "direct")
            return
        kernel.add(target.pid)
        self.load.aim()
        self.allocations(target, kernel)
        for form in ("channel", "indication"):
            self.load.allocate(CPU_FLOWS, form)
            if form == "channel":
                self.latency(target, "relay")
            self.cpu(target, 1, form, "spaced")
            self.cpu(target, BURST, form, "bursts")
            self.most_packets(target, form)
            self.load.release()

    # --- one method per figure ---

    def allocations(self, target, kernel):
        """How fast they are made and ended, and what memory they take after a little media."""
        memory, cpu = (resident_kib(target.pid), kernel.kib()), cpu_seconds(target.pid)
        f = self.load.allocate(ALLOCATIONS, "channel")
        self.figures.add("allocations_per_second", target.name, ALLOCATIONS / f["seconds"])
        self.figures.add("allocation_p50_us", target.name, f["p50_us"])
        self.figures.add("allocation_p99_us", target.name, f["p99_us"])
        self._add_cpu("allocation_cpu_us", target, cpu)
        self.load.run(ALLOCATIONS, SOME_PACKETS, rate=5)
        self.figures.add("resident_kib", target.name,
                         (resident_kib(target.pid) - memory[0]) / ALLOCATIONS)
        if memory[1] is not None:
            self.figures.add("kernel_kib", target.name, (kernel.kib() - memory[1]) / ALLOCATIONS)
        cpu = cpu_seconds(target.pid)
        f = self.load.release()
        self.figures.add("releases_per_second", target.name, ALLOCATIONS / f["seconds"])
        self._add_cpu("release_cpu_us", target, cpu)

    def _add_cpu(self, figure, target, before):
        self.figures.add(figure, target.name,
                         1e6 * (cpu_seconds(target.pid) - before) / ALLOCATIONS)

    def latency(self, target, form):
        f = self.load.run(LATENCY_FLOWS, self.plan.latency, form=form)
        self.note_doubts(target, f, "20,000 packets/s")
        for q in ("p50", "p99", "p999"):
            self.figures.add(f"latency_{q}_us", target.name, f[f"{q}_us"])

    def cpu(self, target, burst, form, how):
        self.cpu_per_packet(target, f"{form}_{how}", lambda seconds: self.note_doubts(
            target, self.load.run(CPU_FLOWS, seconds, burst=burst), f"50,000 packets/s ({form})"))

    def carries(self, rate):
        """Whether so many packets of a flow and direction are carried, in the better of two tries,
        and whether the load generator could tell."""
        for _ in range(2):
            f = self.load.run(CPU_FLOWS, self.plan.step, rate=rate)
            if f["lost"] <= LOSS:
                return True, f["kept_up"]
            time.sleep(0.2)
        return False, True

    def most_packets(self, target, form):
        rate, found = self.search(self.carries, self.most.get((target.name, form), FIRST_GUESS),
                                  MOST)
        if not found:
            self.figures.note(f"{target.name}: more packets ({form}) than could be measured")
        self.most[target.name, form] = max(rate, FIRST_GUESS // 2)
        self.figures.add(f"{form}_packets_per_second", target.name, 2 * CPU_FLOWS * rate)

    def add_differences(self):
        """What relaying adds to the wire's latency."""
        for q in ("p50", "p99", "p999"):
            wire = self.figures.median(f"latency_{q}_us", "wire")
            for target in ("coturn", "daemon"):
                value = self.figures.median(f"latency_{q}_us", target)
                if value is not None:
                    self.figures.add(f"added_{q}_us", target, value - wire)
