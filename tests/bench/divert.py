# SPDX-License-Identifier: ISC
"""What mod_jingle_relay costs in a server: what run --divert measures.

One server with two hosts, of which one hands its Jingle to the daemon and the other does not.
Users of the one, then of the other, set calls up among themselves at the same rate (users.py).
The server has a core of its own; the daemon and the users share the other.
"""

import contextlib
import os
import shutil
import subprocess

from figures import Figures
from forwarders import Daemon, cpu_seconds
from measure import Measure, say
from users import Users, quantile
from world import COMPONENT_PORT, RELAY, ROOT, SECRET, SIDES, World, wait_for, write

HOSTS = {"without": "without.test", "with": "with.test"}
PAIRS = 100          # of users, of each host
RATES = (50, 500)    # calls begun per second: a server at ease, and a busy one
BUSY = 0.9           # a share of a core that leaves nothing to spare
TARDY = 0.05         # s that calls may begin too late, p99: else it is the users who are slow
C2S_PORT = 5222

PROSODY = """
{gc}
plugin_paths = {{ "{directory}/modules" }}
data_path = "{directory}"
pidfile = "{directory}/prosody.pid"
log = {{ {{ levels = {{ min = "info" }}, to = "console" }} }}
modules_enabled = {{ "saslauth", "disco", "presence", "message", "iq" }}
modules_disabled = {{ "s2s", "tls", "offline", "http" }}
authentication = "internal_plain"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
network_settings = {{ nagle = false }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ 5222 }}
s2s_ports = {{ }}
component_ports = {{ {port} }}
component_interfaces = {{ "127.0.0.1" }}
VirtualHost "{hosts[without]}"
VirtualHost "{hosts[with]}"
  modules_enabled = {{ "jingle_relay" }}
  jingle_relay_component = "{relay}"
Component "{relay}"
  component_secret = "{secret}"
"""

# Prosody collects its garbage whenever that has grown by 5 %, which takes more than half of its CPU
# time; so it does when memory has doubled, as Lua does if nobody says otherwise.
LAZY = 'gc = { mode = "incremental", threshold = 200, speed = 200 }'

EJABBERD = """
hosts: ["{hosts[without]}", "{hosts[with]}"]
loglevel: info
auth_method: anonymous
anonymous_protocol: login_anon
listen:
  - {{port: {c2s}, ip: "127.0.0.1", module: ejabberd_c2s}}
  - {{port: {port}, ip: "127.0.0.1", module: ejabberd_service,
     hosts: {{"{relay}": {{password: "{secret}"}}}}}}
modules:
  mod_disco: {{}}
append_host_config:
  {hosts[with]}:
    modules:
      mod_jingle_relay: {{component: {relay}}}
"""

# Erlang's own name service, on a port of its own.
EJABBERD_CONTROL = """
ERL_EPMD_ADDRESS=127.0.0.1
ERLANG_NODE=ejabberd@localhost
INET_DIST_INTERFACE=127.0.0.1
ERL_OPTIONS="-pa {directory}"
"""

DELAYS = (("request", "request"), ("offer", "  with a description"),
          ("candidate", "  transport-info"), ("answer", "answer (not diverted)"),
          ("set_up", "offer to answer of a call"))


PROCESSES = ("server", "daemon", "script")


def _rows():
    for rate in RATES:
        yield f"reached_{rate}", f"{rate} calls/s begun: set up per second", "{:.0f}"
        for key, title in DELAYS:
            for q in ("p50", "p99"):
                yield f"{key}_{q}_ms_{rate}", f"{title}, {q}, ms", "{:.2f}"
                if key == "request":
                    yield f"added_{q}_ms_{rate}", f"  of that added, {q}, ms", "{:.2f}"
        yield f"by_relay_{rate}", "requests that were with the relay, %", "{:.1f}"
        for name in PROCESSES:
            yield f"busy_{name}_{rate}", f"{name}: share of a core, %", "{:.0f}"
            yield f"cpu_us_{name}_{rate}", f"{name}: CPU per call, us", "{:.0f}"


ROWS = tuple(_rows())


class ProsodyWorld(World):
    """Prosody has the core that is the relay's elsewhere."""

    says_ready = f"{HOSTS['with']} goes by way of {RELAY}"
    gc = ""

    def _start_prosody(self):
        directory = f"{self.directory}/prosody"
        shutil.copytree(f"{ROOT}/conf/prosody", f"{directory}/modules")
        for host in HOSTS.values():
            accounts = f"{directory}/{host.replace('.', '%2e')}/accounts"
            os.makedirs(accounts)
            for n in range(2 * PAIRS):
                write(f"{accounts}/u{n}.dat", f'return {{ ["password"] = "u{n}-pw" }};\n')
        self.run_prosody(directory, PROSODY.format(
            directory=directory, port=COMPONENT_PORT, hosts=HOSTS, relay=RELAY, secret=SECRET,
            gc=self.gc), self.on_relay_core(), C2S_PORT)
        self.server, self.server_log = self.prosody.pid, f"{self.directory}/prosody.log"


class LazyProsodyWorld(ProsodyWorld):
    gc = LAZY


class EjabberdWorld(World):
    """The same of ejabberd, which lets everybody in."""

    says_ready = f"Jingle requests of {HOSTS['with']} go by {RELAY}"

    def _start_prosody(self):
        directory = f"{self.directory}/ejabberd"
        os.mkdir(directory)
        subprocess.run([f"{ROOT}/conf/ejabberd/compile.sh", directory], check=True)
        config = write(f"{directory}/ejabberd.yml", EJABBERD.format(
            c2s=C2S_PORT, port=COMPONENT_PORT, hosts=HOSTS, relay=RELAY, secret=SECRET))
        control = write(f"{directory}/ejabberdctl.cfg",
                        EJABBERD_CONTROL.format(directory=directory))
        subprocess.run(["chown", "-R", "ejabberd:ejabberd", directory], check=True)
        self.ejabberd = self.network.start(
            "relay", "env", "ERL_EPMD_PORT=4379", f"HOME={directory}", *self.on_relay_core(),
            "setpriv", "--reuid=ejabberd", "--regid=ejabberd", "--init-groups", "ejabberdctl",
            "--config", config, "--ctl-config", control, "--logs", directory,
            "--spool", f"{directory}/db", "foreground", log="ejabberd")
        wait_for("ejabberd", self._listens, 60)
        self.server = next(pid for pid in descendants(self.ejabberd.pid)
                           if name_of(pid) == "beam.smp")
        self.server_log = f"{directory}/ejabberd.log"

    def _listens(self):
        if self.ejabberd.poll() is not None:
            raise RuntimeError(f"ejabberd ended: {self.log('ejabberd')}")
        try:
            self.network.inside("relay", lambda: self.connect(C2S_PORT).close())
            return True
        except OSError:
            return False


SERVERS = {"prosody": ProsodyWorld, "prosody-lazy": LazyProsodyWorld, "ejabberd": EjabberdWorld}


def name_of(pid):
    with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
        return file.read().strip()


def descendants(pid):
    """A process and all that came of it."""
    yield pid
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        for child in file.read().split():
            yield from descendants(int(child))


class DivertDaemon(Daemon):
    """One user opens many calls here, so that only the limit of all calls would be in the way."""

    limits = "calls_per_user = 0; new_calls_per_minute = 0;"

    def __init__(self, world):
        super().__init__(world, limits=self.limits, served=HOSTS["with"], prefix=())

    def connect_callers(self):
        wait_for("the server finds the relay", self._is_found, 30)

    def _is_found(self):
        with open(self.world.server_log, encoding="utf-8", errors="replace") as file:
            return self.world.says_ready in file.read()

    def diverted(self):
        """Requests so far that it was asked about."""
        return sum(value for name, value in self.metrics().items()
                   if name.startswith("diverted_stanzas_total"))


class DivertLoad(Users):
    """The users of both hosts."""

    def __init__(self, world):
        super().__init__()
        ips = [SIDES[side][1] for side in "ab"]
        for host in HOSTS.values():
            self.join(host, lambda: world.network.inside(
                "relay", lambda: world.connect(C2S_PORT)), PAIRS, ips)


class DivertBench(Measure):
    def __init__(self, world, load, plan):
        super().__init__(world, plan, Figures(ROWS, tuple(HOSTS)))
        self.load = load

    def round(self, number):
        self.note_others()
        with contextlib.closing(DivertDaemon(self.world)) as daemon:
            for rate in RATES:
                for name in list(HOSTS) if number % 2 == 0 else list(HOSTS)[::-1]:
                    say(f"  {name} the module, {rate} calls/s")
                    self.at_rate(daemon, name, rate)

    def at_rate(self, daemon, name, rate):
        processes = {"server": self.world.server, "script": os.getpid()}
        if name == "with":
            processes["daemon"] = daemon.pid
        self.load.run(HOSTS[name], rate, 0.5)  # to warm up; the relay learns what clients can do
        diverted = daemon.diverted()
        before = {process: cpu_seconds(pid) for process, pid in processes.items()}
        f = self.load.run(HOSTS[name], rate, self.plan.latency)
        took = f["done"] / f["per_second"] if f["done"] else self.plan.latency
        for process, pid in processes.items():
            used = cpu_seconds(pid) - before[process]
            self.figures.add(f"busy_{process}_{rate}", name, 100 * used / took)
            self.figures.add(f"cpu_us_{process}_{rate}", name, 1e6 * used / max(f["done"], 1))
        self.figures.add(f"reached_{rate}", name, f["per_second"])
        self.figures.add(f"by_relay_{rate}", name, 100 * (daemon.diverted() - diverted)
                         / max(f["requests"], 1))
        for key, _ in DELAYS:
            for q in (50, 99):
                self.figures.add(f"{key}_p{q}_ms_{rate}", name, quantile(f[key], q))
        self.note_trouble(f, f"{name} the module, {rate} calls/s")

    def note_trouble(self, f, what):
        if f["done"] < f["begun"]:
            self.figures.note(f"{what}: of {f['begun']} calls {f['done']} were set up and ended")
        if quantile(f["lateness"], 99) > TARDY:
            self.figures.note(f"{what}: the users did not keep up")

    def add_differences(self):
        for rate in RATES:
            for q in ("p50", "p99"):
                without, with_ = (self.figures.median(f"request_{q}_ms_{rate}", name)
                                  for name in HOSTS)
                if None not in (without, with_):
                    self.figures.add(f"added_{q}_ms_{rate}", "with", with_ - without)
            for name in HOSTS:
                self.say_what_bounds(name, rate)

    def say_what_bounds(self, name, rate):
        reached = self.figures.median(f"reached_{rate}", name)
        if reached is None or reached > 0.95 * rate:
            return
        full = [process for process in PROCESSES
                if (self.figures.median(f"busy_{process}_{rate}", name) or 0) > 100 * BUSY]
        self.figures.note(f"{name} the module, {rate} calls/s: bounded by "
                          + (" and ".join(full) or "no single process"))
