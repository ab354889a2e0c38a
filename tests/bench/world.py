# SPDX-License-Identifier: ISC
"""The lab of the benchmark: the relay's host in one namespace, all callers in one more per side.

    callers of side A ---- veth ---- relay's host ---- veth ---- callers of side B
    192.0.2.2                        203.0.113.1                       198.51.100.2

The callers' namespaces have no addresses: the load generator plays the hosts in them (wire.h). What
arrives at the relay's host is received on the relay's core (RPS): a veth has no interrupt of its
own, so its receiving would otherwise be done, and paid, by the sender's core. What the relay sends
is counted and dropped in the callers' namespaces on the relay's core too, as a network card's work
would be; that is the same for whatever forwards.
"""

import contextlib
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, f"{ROOT}/tests/e2e")
from lab.network import Network, wait_for  # noqa: E402

RELAY_IP = "203.0.113.1"
SIDES = {"a": ("192.0.2.1", "192.0.2.2", "02:00:00:00:0a:01", "02:00:00:00:0a:02"),
         "b": ("198.51.100.1", "198.51.100.2", "02:00:00:00:0b:01", "02:00:00:00:0b:02")}
ALLOWED = ("192.0.2.0/24", "198.51.100.0/24")
FIRST_CLIENT_PORT = 10000  # of the load generator
FIRST_FLOOR_PORT = 12000
PORTS = (12000, 65535)
COMPONENT_PORT, STATS_PORT = 5347, 8791
RELAY, CALLERS, SECRET = "relay.example.test", "callers.example.test", "bench-component-secret"

PROSODY = """
data_path = "{directory}"
pidfile = "{directory}/prosody.pid"
log = {{ {{ levels = {{ min = "warn" }}, to = "console" }} }}
modules_enabled = {{ }}
modules_disabled = {{ "s2s", "tls", "offline", "c2s", "http" }}
authentication = "internal_plain"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ }}
s2s_ports = {{ }}
component_ports = {{ {port} }}
component_interfaces = {{ "127.0.0.1" }}
VirtualHost "example.test"
Component "{relay}"
  component_secret = "{secret}"
Component "{callers}"
  component_secret = "{secret}"
"""

# One user opens one call here: only the limit of all calls would be in the way.
DAEMON = """
xmpp: {{
  domain = "{relay}";
  server = "127.0.0.1";
  port = {port};
  secret_file = "{directory}/secret";
  served_domains = [ "{callers}" ];
}};
relay: {{
  address4 = "{ip}";
  address6 = "none";
  ports = "{ports[0]}-{ports[1]}";
  workers = {workers};
  allow_peers = [ {allowed} ];
  quarantine = "{quarantine}";
  {relay_more}
}};
limits: {{ calls = 0; load = 0; media_timeout = "none"; {limits} }};
stats: {{ listen = "127.0.0.1:{stats}"; selftest = "none"; }};
log: {{ level = "warning"; target = "stderr"; }};
{more}
"""


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def build(directory, *more):
    """Builds what is to be measured, and the programs that measure it."""
    subprocess.run([f"{ROOT}/scripts/build.sh", directory, "--", "jingle-relayd", "rtpload",
                    "turnload", "floor", "spin", *more], check=True)


def kernel_threads(prefix):
    """Process ids, by the beginning of the name."""
    result = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended
            with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                if file.read().startswith(prefix):
                    result.append(int(pid))
    return result


def raise_descriptor_limit():
    """For thousands of calls; the processes inherit it. What cannot be raised will show."""
    wanted = 4 * (PORTS[1] - PORTS[0])
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))


class World:
    """Namespaces, Prosody and whatever forwards; a context manager that takes all of it down."""

    def __init__(self, build):
        self.build = build
        cpus = sorted(os.sched_getaffinity(0))
        self.relay_cpu, self.load_cpu = cpus[-1], cpus[0]
        self.temporary = tempfile.TemporaryDirectory(prefix="jingle-relayd-bench-")
        self.directory = self.temporary.name
        os.chmod(self.directory, 0o755)
        self.network = Network(self.directory)

    def __enter__(self):
        try:
            os.sched_setaffinity(0, {self.load_cpu})  # inherited by all but the relay
            raise_descriptor_limit()
            self._build_network()
            self._start_prosody()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.network.close()
        self.temporary.cleanup()

    # --- namespaces ---

    def _build_network(self):
        net = self.network
        net.add("relay")
        # The callers of one side reach those of the other without a relay, too: the wire to compare.
        net.sysctl("relay", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0",
                   "net.ipv4.conf.default.rp_filter=0")
        for side, (gateway, callers, gateway_mac, callers_mac) in SIDES.items():
            net.add(side)
            device = f"side-{side}"
            net.ip("relay", "link", "add", device, "address", gateway_mac, "type", "veth", "peer",
                   "name", "eth0", "netns", net.namespace(side))
            net.ip("relay", "addr", "add", f"{gateway}/24", "dev", device)
            # On both, since a fast path serves the interfaces that have the relay's address.
            net.ip("relay", "addr", "add", f"{RELAY_IP}/32", "dev", device)
            net.ip("relay", "link", "set", device, "up")
            # What leaves joined (UDP_SEGMENT) is split on the relay's core, as for a network card
            # that cannot: the sink would count it as one packet.
            self._ethtool("relay", device, "tx-udp-segmentation", "off")
            net.ip("relay", "neigh", "replace", callers, "lladdr", callers_mac, "dev", device,
                   "nud", "permanent")
            net.ip(side, "link", "set", "eth0", "up")
        self.receive_on(self.relay_cpu)

    def receive_on(self, *cpus):
        """Where the kernel of the relay's host receives."""
        mask = sum(1 << cpu for cpu in set(cpus))
        for side in SIDES:
            self._set(f"side-{side}/queues/rx-0/rps_cpus", f"{mask:x}")

    def _set(self, path, value):
        self.network.run("relay", "sh", "-c", f"echo {value} >/sys/class/net/{path}")

    def join_trains(self, on):
        """Whether the relay's host joins packets of one flow as they come (GRO), as hosts with a
        real network card do; a veth needs a thread per end for that, held on the relay's core."""
        for side in SIDES:
            device, word = f"side-{side}", "on" if on else "off"
            # A veth joins only what its sender could not have joined.
            self._ethtool(side, "eth0", "tso", "off" if on else "on")
            if on:
                self._ethtool("relay", device, "gro", word)
            self._set(f"{device}/threaded", int(on))
            self._ethtool("relay", device, "gro", word)
        if on:
            time.sleep(0.1)  # the threads have their names only when they have run
            self._hold_receivers()

    def poll_at_sides(self, on):
        """A veth takes what XDP redirects only where its other end polls."""
        for side in SIDES:
            self._ethtool(side, "eth0", "gro", "on" if on else "off")

    def _ethtool(self, name, device, feature, word):
        self.network.run(name, "ethtool", "-K", device, feature, word,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _hold_receivers(self):
        for pid in kernel_threads("napi/side-"):
            os.sched_setaffinity(pid, {self.relay_cpu})
            os.setpriority(os.PRIO_PROCESS, pid, -10)  # as interrupts go first

    def receivers(self):
        """The kernel's threads that may receive for the relay's host, on its core."""
        return kernel_threads("napi/side-") + kernel_threads(f"ksoftirqd/{self.relay_cpu}")

    def side(self, name):
        """A side as rtpload wants it."""
        _, callers, gateway_mac, callers_mac = SIDES[name]
        return f"{self.network.namespace(name)},eth0,{callers},{callers_mac},{gateway_mac}"

    def settings(self, group):
        """Names of the settings of that group that the daemon of this build knows."""
        config = write(f"{self.directory}/least.conf",
                       f'xmpp: {{ domain = "{RELAY}"; secret = "{SECRET}"; '
                       f'served_domains = [ "{CALLERS}" ]; }};\n')
        text = subprocess.run(
            [self.program("jingle-relayd"), "--config", config, "--print-config"],
            check=True, capture_output=True, text=True).stdout
        body = text.partition(f"{group} = {{")[2].partition("};")[0]
        return [line.partition("=")[0].strip() for line in body.splitlines() if "=" in line]

    def program(self, name):
        """Where the build put it."""
        paths = [f"{self.build}/{name}", f"{self.build}/tests/bench/{name}"]
        return next(path for path in paths if os.path.exists(path))

    # --- processes ---

    def _start_prosody(self):
        directory = f"{self.directory}/prosody"
        os.mkdir(directory)
        self.run_prosody(directory, PROSODY.format(
            directory=directory, port=COMPONENT_PORT, relay=RELAY, callers=CALLERS, secret=SECRET))

    def run_prosody(self, directory, text, prefix=(), port=COMPONENT_PORT):
        """With its data in that directory, and that configuration, until it listens on the port; the
        prefix chooses its core."""
        config = write(f"{self.directory}/prosody.cfg.lua", text)
        subprocess.run(["chown", "-R", "prosody:prosody", directory], check=True)
        self.prosody = self.network.start(
            "relay", *prefix, "setpriv", "--reuid=prosody", "--regid=prosody", "--clear-groups",
            "prosody", "--config", config, "-F", log="prosody")
        wait_for("Prosody", lambda: self._prosody_listens(port), 20)

    def _prosody_listens(self, port):
        if self.prosody.poll() is not None:
            raise RuntimeError(f"Prosody ended: {self.log('prosody')}")
        try:
            self.network.inside("relay", lambda: self.connect(port).close())
            return True
        except OSError:
            return False

    @staticmethod
    def connect(port):
        return socket.create_connection(("127.0.0.1", port), 5)

    def log(self, name):
        with open(f"{self.directory}/{name}.log", encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:].strip()

    def on_relay_core(self, *argv):
        return ["taskset", "-c", str(self.relay_cpu), "nice", "-n", "-5", *argv]
