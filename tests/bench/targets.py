# SPDX-License-Identifier: ISC
"""All that tests/bench/compare measures, with one interface: flows(n) sees to it that there are n
flows and returns all of them as blast wants them; revive() makes it whole after an overload; pid is
None where the kernel forwards.

Each kind is made of the generators that set its flows up; they stay with the world.
"""

import contextlib
import time

from forwarders import Daemon, Floor, KernelFloor, cpu_seconds
from load import Load
from rtpengine import Rtpengine
from turn import Coturn, TurnDaemon, TurnLoad
from world import FIRST_CLIENT_PORT, FIRST_FLOOR_PORT, RELAY_IP, SIDES

# The daemon's own settings, by what is measured. Those that a build does not know are left out of
# the comparison.
SHARED = {"ice_ports": '"shared"'}
DEDICATED = {"ice_ports": '"dedicated"'}
FAST, SLOW = {"fastpath": '"on"'}, {"fastpath": '"off"'}


AT_ONCE = 500  # calls whose clients check at the same time; more would be an overload


class Setup:
    """The programs that set flows up and keep them alive while blast sends."""

    def __init__(self, world):
        self.world = world
        self.jingle = Load(world)
        self.turn = TurnLoad(world)

    def forget(self):
        self.jingle.forget()
        self.turn.forget()

    def close(self):
        self.jingle.close()
        self.turn.close()


class Target:
    pid = None
    daemon = None  # where it is ours

    def __init__(self, setup):
        self.setup = setup
        self.world = setup.world

    def fast_packets(self):
        """How many the kernel has forwarded by the daemon's fast path."""
        return self.daemon.metrics().get("fastpath_packets_total", 0)

    def revive(self):
        pass

    def close(self):
        pass


class Kernel(Target):
    """IP forwarding: the callers of the two sides send to each other."""

    def flows(self, count):
        a, b = SIDES["a"][1], SIDES["b"][1]
        ports = range(FIRST_CLIENT_PORT, FIRST_CLIENT_PORT + count)
        return [f"{port} {b} {port} {port} {a} {port} 0" for port in ports]


class Bare(Target):
    """A bare forwarder, in user space or in the kernel."""

    def __init__(self, setup, mode, floor=Floor, **how):
        super().__init__(setup)
        self.floor = floor(self.world, mode, **how)
        self.pid = self.floor.pid

    def flows(self, count):
        self.floor.open_calls(count)
        return [f"{FIRST_CLIENT_PORT + i} {RELAY_IP} {FIRST_FLOOR_PORT + 2 * i} "
                f"{FIRST_CLIENT_PORT + i} {RELAY_IP} {FIRST_FLOOR_PORT + 2 * i + 1} 0"
                for i in range(count)]

    def close(self):
        self.floor.close()


class Engine(Target):
    """rtpengine. After an overload some of its legs stay dead, so that it begins anew."""

    def __init__(self, setup):
        super().__init__(setup)
        self._start()

    def _start(self):
        self.engine = Rtpengine(self.world)
        self.pid = self.engine.pid
        self.lines = []

    def flows(self, count):
        self.lines += self.engine.open_calls(count)
        return self.lines[:count]

    def revive(self):
        self.engine.close()
        self._start()

    def close(self):
        self.engine.close()


class Channels(Target):
    """A TURN server, its clients with a channel each."""

    def __init__(self, setup, server):
        super().__init__(setup)
        self.server = server
        self.daemon = server if isinstance(server, Daemon) else None
        self.pid = server.pid
        setup.turn.aim()
        self.path = f"{self.world.directory}/channels"
        self.cpu_us = None  # of allocating and binding one, the last time

    def flows(self, count):
        turn = self.setup.turn
        if turn.count < count:
            if turn.count:
                turn.release()
            before = cpu_seconds(self.pid)
            turn.allocate(count, "channel")
            self.cpu_us = 1e6 * (cpu_seconds(self.pid) - before) / count
            turn.write_flows(self.path)
        with open(self.path, encoding="ascii") as file:
            return file.read().splitlines()[:count]

    def close(self):
        self.setup.turn.forget()
        self.server.close()


class Jingle(Target):
    """Calls through the daemon, which both clients have entered by their connectivity checks."""

    def __init__(self, setup, relay, workers=1, prefix=None):
        super().__init__(setup)
        self.daemon = Daemon(self.world, quarantine="1 s", relay=relay, workers=workers,
                             prefix=prefix)
        self.pid = self.daemon.pid
        self.seconds = 0  # for setting up those that were asked for last

    def flows(self, count):
        start = time.monotonic()
        new = self.daemon.open_calls(count)
        self.seconds = time.monotonic() - start
        for i in range(0, len(new), AT_ONCE):
            self.setup.jingle.add(new[i:i + AT_ONCE])
        return [flow_of(call) for call in self.daemon.callers.calls[:count]]

    def end(self):
        """All calls, by signalling; returns how long that took."""
        start = time.monotonic()
        self.daemon.callers.end_all()
        self.setup.jingle.forget()
        return time.monotonic() - start

    def close(self):
        self.setup.jingle.forget()
        self.daemon.close()


def flow_of(call):
    (a, a_port), (b, b_port) = call.a.relay, call.b.relay
    port = FIRST_CLIENT_PORT + call.index
    return f"{port} {a} {a_port} {port} {b} {b_port} 0"


def relay_text(*settings):
    """Settings as the group 'relay' of the configuration has them."""
    return " ".join(f"{name} = {value};" for group in settings for name, value in group.items())


# name: (what it is, the settings of the daemon that it needs, how it is made)
def _bare(mode, floor=Floor):
    return lambda setup, relay: Bare(setup, mode, floor)


KINDS = {
    "ipforward": ("the kernel's IP forwarding", (), lambda setup, relay: Kernel(setup)),
    "bare": ("bare forwarder: TC eBPF", (), _bare("redirect", KernelFloor)),
    "bare_neigh": ("bare forwarder: TC eBPF, neighbours by the kernel", (),
                   _bare("neigh", KernelFloor)),
    "bare_drop": ("TC eBPF that drops all", (), _bare("drop", KernelFloor)),
    "bare_xdp": ("bare forwarder: XDP", (), _bare("early", KernelFloor)),
    "epoll": ("bare forwarder: epoll, recv, send", (), _bare("epoll")),
    "mmsg": ("bare forwarder: recvmmsg, sendmmsg", (), _bare("mmsg")),
    "gro": ("bare forwarder: UDP_GRO, UDP_SEGMENT", (), _bare("gro")),
    "open": ("bare forwarder: recvmsg, sendto, not connected", (), _bare("open")),
    "coturn": ("coturn, ChannelData", (),
               lambda setup, relay: Channels(setup, Coturn(setup.world))),
    "rtpengine": ("rtpengine, user space", (), lambda setup, relay: Engine(setup)),
    "userspace": ("this daemon, user space: calls", (), Jingle),
    "userspace_shared": ("user space: calls on the shared port", (SHARED,), Jingle),
    "userspace_channel": ("user space: ChannelData", (),
                          lambda setup, relay: Channels(setup, TurnDaemon(setup.world, relay))),
    "fastpath": ("this daemon, fast path: calls", (FAST,), Jingle),
    "fastpath_shared": ("fast path: calls on the shared port", (FAST, SHARED), Jingle),
    "fastpath_channel": ("fast path: ChannelData", (FAST,),
                         lambda setup, relay: Channels(setup, TurnDaemon(setup.world, relay))),
}


# What takes a packet apart, for tests/bench/walk only.
ONLY_WALKS = ("bare_drop", "bare_neigh", "bare_xdp")
WALKS = (*ONLY_WALKS, "bare", "ipforward", "fastpath", "fastpath_channel")


BARE = ("epoll", "mmsg", "gro", "open")


class Catalogue:
    """Makes targets by name, for the build of the world."""

    def __init__(self, world, setup):
        self.world = world
        self.setup = setup
        self.known = set(world.settings("relay"))

    @staticmethod
    def title(name):
        return KINDS[name][0]

    def has(self, name):
        """Whether this build can do it."""
        return all(set(settings) <= self.known for settings in KINDS[name][1])

    def relay_settings(self, name):
        """User space unless said otherwise, ports of their own unless said otherwise."""
        wanted = {**SLOW, **DEDICATED}
        for settings in KINDS[name][1]:
            wanted.update(settings)
        return relay_text({key: value for key, value in wanted.items() if key in self.known})

    def open(self, name, workers=1, cpus=None):
        """A context manager. workers, cpus: of a daemon that is not held on the relay's core."""
        self.setup.forget()
        settings = self.relay_settings(name)
        if workers == 1 and not cpus:
            return contextlib.closing(KINDS[name][2](self.setup, settings))
        cpus = ",".join(map(str, sorted(cpus)))
        prefix = ["taskset", "-c", cpus, "nice", "-n", "-5"]
        if name in BARE:
            return contextlib.closing(Bare(self.setup, name, threads=workers, prefix=prefix))
        return contextlib.closing(Jingle(self.setup, settings, workers, prefix))
