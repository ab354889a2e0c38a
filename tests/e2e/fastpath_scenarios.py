# SPDX-License-Identifier: ISC
"""The kernel's fast path under real calls: what it carries, that its figures are those of the
clients, and that it leaves nothing behind. On a kernel that cannot, the scenarios fail.
"""

import contextlib
import glob
import re
import signal
import time

from lab.call import Call, require
from lab.lab import NAT_A, NAT_A_NEW, SERVER4, Lab
from lab.network import wait_for
from lab.turn import PEER4, TurnLab
from lab.uclient import Uclient

SCENARIOS = {}
BOTH = ["audio", "video"]
SIDES = ("initiator", "responder")
LATE = 40  # packets that are under way while two are asked how many there were
ROAMED_MS = 6000


def scenario(kind=Lab, **options):
    def register(function):
        SCENARIOS[function.__name__.replace("_", "-")] = (function, kind, options)
        return function
    return register


def run(name, daemon, logs=None):
    function, kind, options = SCENARIOS[name]
    with kind(daemon, logs=logs, fastpath="on", **options) as lab:
        figures = function(lab)
        if lab.daemon.process.poll() is None:
            status = lab.daemon.stop()
            require(status == 0, f"the daemon ended with status {status}")
        return figures


def by_kernel(lab):
    return lab.daemon.metrics()["fastpath_packets_total"]


def in_kernel(call):
    return [path[side]["in_kernel"] for path in call.relay()["paths"] for side in SIDES]


def wait_for_kernel(call, seconds=5):
    wait_for("the kernel forwards both directions", lambda: all(in_kernel(call)), seconds)


def media_of(view, side):
    return sum(path[side]["media_packets_in"] for path in view["paths"])


def lost_of(view):
    return sum(stream["lost"] for path in view["paths"] for side in SIDES
               for stream in path[side]["streams"])


def objects(process, kind):
    """The numbers of the eBPF objects ("prog", "map", "link") that a process has open."""
    numbers = set()
    for path in glob.glob(f"/proc/{process.pid}/fdinfo/*"):
        with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as file:
            numbers |= set(re.findall(rf"^{kind}_id:\t(\d+)$", file.read(), re.M))
    return numbers


def alive(lab, kind, numbers):
    """Those of them that the kernel still has; it has one table for all namespaces."""
    def shown(number):
        return lab.network.run("srv", "bpftool", kind, "show", "id", number, check=False,
                               capture_output=True).returncode == 0
    return {number for number in numbers if shown(number)}


@scenario()
def fastpath_call(lab):
    """Both legs in the kernel; nothing is lost, and the relay's figures are the clients'."""
    call = Call(lab, "wrtc", "aiortc", BOTH).connect().place()
    wait_for_kernel(call)
    before = by_kernel(lab)
    call.keep_flowing(3)
    carried = by_kernel(lab) - before
    received = [sum(side.values()) for side in call.received()]
    view = call.carried()
    require(all(in_kernel(call)), "a direction came back from the kernel")
    require(carried >= 300, f"the kernel forwarded {carried} packets in 3 s")
    for client, side, got in zip(("Alice", "Bob"), SIDES[::-1], received):
        sent = media_of(view, side)
        require(abs(sent - got) <= LATE, f"{client} got {got} packets, the relay counted {sent}")
    require(lost_of(view) == 0, f"the relay counts {lost_of(view)} packets as lost")
    figures = call.figures()
    require(not any(n for kinds in figures["loss"].values() for n in kinds.values()),
            f"packets lost: {figures['loss']}")
    call.hangup()
    call.paths_closed()
    rows = lab.daemon.metrics()
    require(rows['fastpath_flows{of="call"}'] == 0, "flows are left in the kernel")
    final = call.relay()
    require(media_of(final, "initiator") >= media_of(view, "initiator"),
            "the last figures lack what the kernel has forwarded")
    return {**figures, "by_kernel": carried, "received": received}


@scenario()
def fastpath_roams(lab):
    """Alice's NAT gets another address: her media fall back, the path moves, the kernel has it."""
    call = Call(lab, "wrtc", "wrtc", ["audio"]).connect().place()
    wait_for_kernel(call)
    lab.network.readdress("nata", NAT_A, NAT_A_NEW)
    start = time.monotonic()
    gaps = call.resumes_within(15)
    require(max(gaps.values()) <= ROAMED_MS, f"media resumed after {gaps} ms")
    wait_for_kernel(call, 8)
    back = round((time.monotonic() - start) * 1000)
    before = by_kernel(lab)
    call.keep_flowing(1)
    carried = by_kernel(lab) - before
    require(carried >= 50, f"the kernel forwarded {carried} packets in 1 s")
    sources = [source["address"] for path in call.relay()["paths"]
               for source in path["initiator"]["sources"] if source["selected"]]
    require(all(NAT_A_NEW in source for source in sources), f"the relay sends to {sources}")
    call.bob.ask("hangup")
    call.paths_closed()
    return {"resumed_ms": gaps, "in_kernel_again_ms": back, "by_kernel": carried}


@scenario()
def fastpath_killed(lab):
    """SIGKILL: nothing of the fast path outlives the daemon."""
    call = Call(lab, "plain", "plain", ["audio"]).connect().place()
    wait_for_kernel(call)
    own = {kind: objects(lab.daemon.process, kind) for kind in ("prog", "map", "link")}
    require(all(alive(lab, kind, own[kind]) == own[kind] != set() for kind in own),
            f"the daemon has of eBPF: {own}")
    lab.network.stop(lab.daemon.process, how=signal.SIGKILL)
    for kind, numbers in own.items():
        wait_for(f"{kind}s are gone", lambda k=kind, n=numbers: not alive(lab, k, n), 5)
    before = call.received()
    time.sleep(0.5)
    after = call.received()
    require(before == after, f"media pass without the daemon: {before}, {after}")
    return {kind: len(numbers) for kind, numbers in own.items()}


@scenario(kind=TurnLab)
def fastpath_turn(lab):
    """ChannelData of coturn's client, to the peer and back, by the kernel, and counted."""
    for host, device in (("alice", "eth0"), ("peer", "eth0")):
        # A sender on the same machine leaves the checksum to be filled in on the way; where it has
        # to move, because of the header before the data, the packet is the daemon's.
        lab.network.run(host, "ethtool", "-K", device, "tx", "off", capture_output=True)
    before = lab.daemon.metrics()
    client = Uclient(lab, "udp", server=SERVER4, peer=PEER4)
    messages = client.finish()
    after = lab.daemon.metrics()
    carried = after["fastpath_packets_total"] - before["fastpath_packets_total"]
    counted = [after[f'turn_packets_total{{direction="{way}"}}']
               - before[f'turn_packets_total{{direction="{way}"}}']
               for way in ("to_peer", "to_client")]
    require(carried >= 3 * messages / 2, f"the kernel forwarded {carried} of {2 * messages} messages")
    require(counted == [messages, messages], f"{messages} messages, counted {counted}")
    return {"messages": messages, "by_kernel": carried}
