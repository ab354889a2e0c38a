# SPDX-License-Identifier: ISC
"""jingle-relayctl doctor: a relay in order, and set-ups that are broken in one thing each. Each
must be found, named, and have its line to change.

With DOCTOR_TABLE=FILE the table that stands in docs/OPERATING.md is written there.
"""

import contextlib
import datetime
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess

from lab import nameserver
from lab.authority import Authority
from lab.call import require
from lab.daemon import STATS_PORT, Daemon
from lab.lab import SERVER4, Place
from lab.network import wait_for
from lab.servers import DOMAIN, RELAY, SECRET, Prosody

SCENARIOS = {}
TURN_HOST = f"turn.{DOMAIN}"
TURN_SECRET = "lab-turn-secret-of-today"
OK, PROBLEM = 0, 1

TURN = """
turn: {{
  enabled = true;
  host = "{host}";
  ports = [ 3478 ];
  tls_ports = [ 5349 ];
  certificate = "{directory}/turn.pem";
  key = "{directory}/turn.key";
  secret_files = [ "{directory}/turn-secret" ];
}};
"""

# What docs/OPERATING.md tells a person to write.
HOST = """
VirtualHost "{domain}"
  modules_enabled = {{ "jingle_relay", "turn_external", "time" }}
  jingle_relay_component = "{relay}"
  turn_external_host = "{host}"
  turn_external_secret = "{secret}"
  turn_external_tcp = true
  external_service_access = {{ "{domain}", "{relay}" }}
"""

# Shut but for what is named.
RULES = """
table inet filter {{
  chain input {{
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
    ct state established,related accept
    tcp dport {{ 5222, {tcp} }} accept
    udp dport {{ {udp} }} accept
  }}
}}
"""

# An hour late, instead of Prosody's own.
WRONG_TIME = """
-- SPDX-License-Identifier: ISC
local st = require "util.stanza";
module:hook("iq-get/host/urn:xmpp:time:time", function (event)
  event.origin.send(st.reply(event.stanza):tag("time", { xmlns = "urn:xmpp:time" })
    :tag("tzo"):text("+00:00"):up()
    :tag("utc"):text(os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() - 3600)));
  return true;
end);
"""

AUTHORITY = """
[ca]
default_ca = lab
[lab]
database = {directory}/ca-index
new_certs_dir = {directory}
serial = {directory}/ca-serial
default_md = sha256
policy = any
email_in_dn = no
copy_extensions = copy
[any]
commonName = supplied
"""


def scenario(**options):
    """Registers a function as a scenario; options are those of the lab."""
    def register(function):
        SCENARIOS[function.__name__.replace("_", "-")] = (function, options)
        return function
    return register


def run(name, daemon, logs=None):
    function, options = SCENARIOS[name]
    with DoctorLab(daemon, logs=logs, **options) as lab:
        return function(lab)


class DoctorLab(Place):
    """One host with Prosody and the daemon, in order. Its parts are another's in
    doctor_places_scenarios.py."""

    bound4, address4, address6 = SERVER4, SERVER4, None  # clients are told the second
    turn = TURN

    def __init__(self, program, selftest="none", logs=None):
        super().__init__(logs)
        try:
            self.network.internet()
            self.wire()
            self.network.know(self.hosts())
            self.authority = Authority(self.directory)
            self.authority.issue(f"{self.directory}/turn", [TURN_HOST], [SERVER4])
            self.write("turn-secret", TURN_SECRET)
            os.chmod(f"{self.directory}/turn.key", 0o600)
            self.programs = os.path.dirname(program)
            self.server = self.make_server()
            self.daemon = Daemon(self.network, self.directory, program, address4=self.bound4,
                                 address6=self.address6, selftest=selftest, groups=self.turn.format(
                                     host=TURN_HOST, directory=self.directory))
            os.chmod(self.directory, 0o755)
            self.server.start()
            self.start()
        except BaseException:
            if logs:
                self.save_logs()
            self.close()
            raise

    def wire(self):
        self.network.host("srv", SERVER4)

    def hosts(self):
        """What the DNS knows."""
        return {TURN_HOST: " ".join(filter(None, (self.address4, self.address6)))}

    def make_server(self):
        return Prosody(self.network, self.directory, [SERVER4], HOST.format(
            domain=DOMAIN, relay=RELAY, host=TURN_HOST, secret=TURN_SECRET))

    def write(self, name, text):
        path = f"{self.directory}/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)
        return path

    def start(self, joins=True):
        self.daemon.start()
        if joins:
            wait_for("the daemon's connection", self.daemon.is_up, 20)
        else:
            wait_for("the daemon", lambda: os.path.exists(self.daemon.control), 20)

    def stop(self):
        self.daemon.stop()

    # --- to break it ---

    @contextlib.contextmanager
    def instead(self, path, *pairs, mode=None):
        """A file of the lab with other text in it, for a while."""
        path = os.path.join(self.directory, path)
        with open(path, encoding="utf-8") as file:
            old = file.read()
        new = old
        for was, now in pairs:
            require(was in new, f"{path} has no {was}")
            new = new.replace(was, now)
        before = os.stat(path).st_mode & 0o7777
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(new)
            os.chmod(path, before if mode is None else mode)
            yield
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(old)
            os.chmod(path, before)

    @contextlib.contextmanager
    def daemon_with(self, *pairs, joins=True, starts=True):
        """Its configuration is another, and it was started with it, or tried to."""
        self.stop()
        with self.instead("jingle-relayd.conf", *pairs):
            if starts:
                self.start(joins)
            yield
            if starts:
                self.stop()
        self.start()

    @contextlib.contextmanager
    def server_with(self, *pairs):
        self.stop()
        self.server.stop()
        with self.instead("prosody.cfg.lua", *pairs):
            self.server.start()
            self.start()
            yield
            self.stop()
            self.server.stop()
        self.server.start()
        self.start()

    @contextlib.contextmanager
    def firewall(self, tcp, udp):
        self.network.run("srv", "nft", "-f", "-", input=RULES.format(tcp=tcp, udp=udp).encode())
        try:
            yield
        finally:
            self.network.run("srv", "nft", "delete", "table", "inet", "filter")

    @contextlib.contextmanager
    def deaf(self, port):
        """TCP to this port is dropped, from this machine too."""
        self.network.run("srv", "nft", "insert", "rule", "inet", "filter", "input", "tcp", "dport",
                         str(port), "drop")
        yield

    @contextlib.contextmanager
    def names(self, hosts):
        self.network.know(hosts)
        try:
            yield
        finally:
            self.network.know(self.hosts())

    @contextlib.contextmanager
    def dns(self, *records):
        """A real one, beside /etc/hosts; the records as lab/nameserver.py takes them."""
        other = self.network.start("srv", "python3", nameserver.__file__, *records, log="names",
                                   stdout=subprocess.PIPE)
        other.stdout.readline()
        try:
            yield
        finally:
            other.stdout.close()
            self.network.stop(other)

    @contextlib.contextmanager
    def certificate(self, name=TURN_HOST, days=(-60, 60), other_key=False):
        """Another certificate, good from and until so many days from now."""
        files = [f"{self.directory}/turn.{kind}" for kind in ("pem", "key")]
        for path in files:
            shutil.copy2(path, f"{path}.kept")
        self.issue(name, days)
        if other_key:
            key = ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
            subprocess.run(["openssl", *key, "-out", files[1]], check=True, capture_output=True)
        try:
            yield
        finally:
            for path in files:
                os.rename(f"{path}.kept", path)

    def issue(self, name, days):
        at = f"{self.directory}/"
        self.write("ca-index", "")
        self.write("ca-serial", "1000")
        config = self.write("ca.cnf", AUTHORITY.format(directory=self.directory))
        now = datetime.datetime.now(datetime.timezone.utc)
        dates = [(now + datetime.timedelta(days=n)).strftime("%Y%m%d%H%M%SZ") for n in days]
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
        for words in (
                ("req", "-new", *curve, "-subj", f"/CN={name}", "-addext",
                 f"subjectAltName=DNS:{name}", "-keyout", at + "turn.key", "-out", at + "turn.csr"),
                ("ca", "-batch", "-notext", "-config", config, "-cert", self.authority.certificate,
                 "-keyfile", self.authority.key, "-startdate", dates[0], "-enddate", dates[1],
                 "-in", at + "turn.csr", "-out", at + "turn.pem")):
            done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
            require(done.returncode == 0, f"openssl {words[0]}: {done.stderr}")

    @contextlib.contextmanager
    def taken(self, port, kind="DGRAM"):
        """Another program has the port; the daemon cannot start."""
        self.stop()
        listen = "s.listen(); " if kind == "STREAM" else ""
        program = (f"import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_{kind}); "
                   f"s.bind(('0.0.0.0', {port})); {listen}print(flush=True); time.sleep(600)")
        other = self.network.start("srv", "python3", "-c", program, log="other",
                                   stdout=subprocess.PIPE)
        other.stdout.readline()
        try:
            yield
        finally:
            other.stdout.close()
            self.network.stop(other)
            self.start()

    @contextlib.contextmanager
    def another_component(self):
        """Somebody else has joined under the relay's name."""
        self.stop()
        other = self.network.inside("srv", join)
        try:
            self.start(joins=False)
            yield
            self.stop()
        finally:
            other.close()
        self.start()

    @contextlib.contextmanager
    def run_by(self, user, group=None):
        """The daemon is no longer root, and the certificate's key was renewed by root: for root
        alone, or for a group that the daemon has besides its own."""
        self.stop()
        key = f"{self.directory}/turn.key"
        for name in ("secret", "turn-secret", "turn.key"):
            shutil.chown(f"{self.directory}/{name}", user)
        os.chmod(self.directory, 0o777)
        self.daemon.process = self.network.start(
            "srv", "setpriv", f"--reuid={user}", f"--regid={user}",
            f"--groups={group}" if group else "--clear-groups",
            self.daemon.program, "--config", self.daemon.config, log="jingle-relayd")
        wait_for("the daemon's connection", self.daemon.is_up, 20)
        shutil.chown(key, "root", group)
        os.chmod(key, 0o640 if group else 0o600)
        try:
            yield
        finally:
            self.stop()
            for name in ("secret", "turn-secret"):
                shutil.chown(f"{self.directory}/{name}", "root")
            shutil.chown(key, "root", "root")
            os.chmod(key, 0o600)
            os.chmod(self.directory, 0o755)
            self.start()

    @contextlib.contextmanager
    def few_descriptors(self):
        subprocess.run(["prlimit", "--pid", str(self.daemon.process.pid), "--nofile=300:300"],
                       check=True)
        yield
        self.stop()
        self.start()

    @contextlib.contextmanager
    def stopped(self):
        self.stop()
        yield
        self.start()

    @contextlib.contextmanager
    def wrong_clock(self):
        module = f"{self.server.directory}/modules/mod_time.lua"
        with open(module, "w", encoding="utf-8") as file:
            file.write(WRONG_TIME)
        with self.server_with():
            os.unlink(module)
            yield

    @contextlib.contextmanager
    def small_mtu(self):
        self.network.ip("srv", "link", "set", "eth0", "mtu", "1100")
        yield
        self.network.ip("srv", "link", "set", "eth0", "mtu", "1500")

    # --- to look ---

    def doctor(self, *arguments):
        """(exit status, findings)"""
        program = f"{os.path.dirname(self.daemon.program)}/jingle-relayctl"
        done = self.network.run(
            "srv", program, "--config", self.daemon.config, "--json", *arguments, "doctor",
            check=False, env=self.trusting(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, timeout=120, stdin=subprocess.DEVNULL)
        require(done.stdout, f"doctor said nothing: {done.stderr}")
        return done.returncode, json.loads(done.stdout)["findings"]

    def trusting(self):
        """The environment of a machine that knows the lab's authority."""
        return {**os.environ, "SSL_CERT_FILE": self.authority.certificate}

    def said(self):
        """What it prints for people."""
        program = f"{os.path.dirname(self.daemon.program)}/jingle-relayctl"
        return self.network.run("srv", program, "--config", self.daemon.config, "doctor",
                                check=False, env=self.trusting(), stdout=subprocess.PIPE,
                                text=True).stdout


def join():
    """A component's stream (XEP-0114), joined."""
    stream = socket.create_connection(("127.0.0.1", 5347), 5)
    stream.sendall(f"<stream:stream xmlns='jabber:component:accept' to='{RELAY}' "
                   "xmlns:stream='http://etherx.jabber.org/streams'>".encode())
    text = ""
    while not re.search(r"<stream:stream[^>]*>", text):
        text += stream.recv(4096).decode()
    number = re.search(r"\bid=['\"]([^'\"]+)", text)[1]
    proof = hashlib.sha1((number + SECRET).encode()).hexdigest()
    stream.sendall(f"<handshake>{proof}</handshake>".encode())
    require("<handshake" in stream.recv(4096).decode(), "the other component was not taken")
    return stream


@scenario()
def doctor_in_order(lab):
    """Nothing is wrong, and nothing is said to be."""
    status, findings = lab.doctor()
    bad = [f for f in findings if f["level"] in ("problem", "warning")]
    require(status == OK and not bad, f"in order, but: {bad}")
    require("0 problems, 0 warnings" in lab.said(), lab.said())
    echoes = [f for f in findings if f["check"] == "relayed echo" and "came back" in f["text"]]
    require(len(echoes) == 3, f"echoes: {echoes}")
    return {"findings": len(findings)}


RELAY_PORTS, TURN_PORTS = "50000-50199", "3478, 5349"

# What is broken; how; the check, level and words that say so, and the line to change.
SERVER_SETUPS = [
    ("the secret is another in Prosody",
     lambda lab: another_secret(lab),
     "component", "problem", "wrong secret", "component_secret = "),
    ("Prosody has no such component",
     lambda lab: lab.daemon_with((RELAY, "other.example.test"), joins=False),
     "component", "problem", "host-unknown", 'Component "other.example.test"'),
    ("two daemons with one domain", lambda lab: lab.another_component(),
     "component", "problem", "conflict", "xmpp.domain"),
    ("nobody listens for components",
     lambda lab: lab.daemon_with(('server = "127.0.0.1";', 'server = "127.0.0.1"; port = 5348;'),
                                 joins=False),
     "component", "problem", "refused", "component_ports = { 5348 }"),
    ("the daemon does not run", lambda lab: lab.stopped(),
     "daemon", "problem", "no daemon answers", "systemctl enable --now jingle-relayd"),
    ("Prosody without mod_jingle_relay", lambda lab: lab.server_with(('"jingle_relay", ', "")),
     "server module", "warning", "no mod_jingle_relay", "jingle_relay_component = "),
    ("`turns` without credentials",
     lambda lab: lab.server_with(("turn_external_tcp = true",
                                  "turn_external_tcp = true; turn_external_tls_port = 5349")),
     "services told", "problem", "turns:.* without username", "external_services = "),
    ("another TURN secret in Prosody",
     lambda lab: lab.server_with((TURN_SECRET, "lab-turn-secret-of-tomorrow")),
     "services told", "problem", "wrong TURN secret", "turn_external_secret = "),
    ("Prosody tells another TURN server",
     lambda lab: lab.server_with((f'host = "{TURN_HOST}"', 'host = "turn.example.net"')),
     "services told", "warning", "not this server", "turn_external_host"),
    ("Prosody tells a port that is not open",
     lambda lab: lab.server_with(("turn_external_tcp = true",
                                  "turn_external_tcp = true; turn_external_port = 3479")),
     "services told", "problem", "port 3479, which is not open", "turn.ports"),
    ("Prosody keeps its services from us",
     lambda lab: lab.server_with((f'"{DOMAIN}", "{RELAY}"', f'"{DOMAIN}"')),
     "services told", "warning", "cannot be checked", "external_service_access = "),
    ("a clock that is off by an hour", lambda lab: lab.wrong_clock(),
     "clock", "problem", "1 h 00 min apart", "timedatectl set-ntp true"),
]

HOST_SETUPS = [
    ("a key that is misspelt",
     lambda lab: lab.instead("jingle-relayd.conf", ("policy =", "polcy =")),
     "configuration", "problem", "relay.polcy", "jingle-relayd.conf"),
    ("a secret that everybody can read", lambda lab: lab.instead("secret", mode=0o644),
     "files", "warning", "every user", "chmod 0640"),
    ("a key that the daemon cannot read", lambda lab: lab.run_by("prosody"),
     "files", "problem", "cannot be read by the daemon", "chmod 0640"),
    ("a private address is advertised",
     lambda lab: lab.instead("jingle-relayd.conf", ('address6 = "none";', 'address6 = "none"; '
                                                    'advertise4 = "192.168.7.1";')),
     "addresses", "problem", "private address", "relay.advertise4"),
    ("an address that is not this machine's",
     lambda lab: lab.instead("jingle-relayd.conf", (SERVER4, "203.0.113.99")),
     "addresses", "problem", "no address of this machine", 'relay.address4 = "auto"'),
    ("turn.host leads elsewhere", lambda lab: lab.names({TURN_HOST: "203.0.113.77"}),
     "DNS", "problem", "203.0.113.77", f"{TURN_HOST}. A {SERVER4}"),
    ("turn.host is not in the DNS", lambda lab: lab.names({}),
     "DNS", "problem", "cannot be resolved", "an A .* record"),
    ("an SRV record of another TURN server", lambda lab: lab.dns(f"A={TURN_HOST}={SERVER4}",
                                                                 f"SRV=_turn._udp.{DOMAIN}="
                                                                 "turn.example.net"),
     "DNS", "warning", "_turn._udp.example.test leads to turn.example.net",
     f"_turn._udp.example.test. SRV 0 0 3478 {TURN_HOST}"),
    ("an expired certificate", lambda lab: lab.certificate(days=(-90, -2)),
     "certificate", "problem", "expired 2 days ago", "certbot renew"),
    ("a certificate that expires soon", lambda lab: lab.certificate(days=(-80, 5)),
     "certificate", "warning", "expires in [45] days", "certbot"),
    ("a certificate for another name", lambda lab: lab.certificate(name="www.example.test"),
     "certificate", "problem", "is not for turn.host", "certbot certonly -d"),
    ("a key of another certificate", lambda lab: lab.certificate(other_key=True),
     "certificate", "problem", "does not fit", "turn.key"),
    ("another program has port 3478", lambda lab: lab.taken(3478),
     "ports", "problem", "3478 is taken by python3", "another port in turn.ports"),
    ("another program has the port of the live page",
     lambda lab: lab.taken(STATS_PORT, "STREAM"),
     "ports", "problem", f"{STATS_PORT} is taken by python3", "another port in stats.listen"),
    ("the firewall keeps relay.ports shut", lambda lab: lab.firewall(TURN_PORTS, TURN_PORTS),
     "firewall", "problem", f"udp {RELAY_PORTS}", f"udp dport {RELAY_PORTS} accept"),
    ("the firewall keeps TURN over TLS shut",
     lambda lab: lab.firewall("3478", f"{TURN_PORTS}, {RELAY_PORTS}"),
     "firewall", "problem", "tcp 5349", "tcp dport 5349 accept"),
    ("too few descriptors", lambda lab: lab.few_descriptors(),
     "descriptors", "problem", "may open 300", "LimitNOFILE="),
    ("a route with a small MTU", lambda lab: lab.small_mtu(),
     "MTU", "warning", "MTU is 1100", "mtu 1500"),
]


@contextlib.contextmanager
def another_secret(lab):
    lab.stop()
    with lab.instead("secret", (SECRET, "lab-secret-of-yesterday")):
        lab.start(joins=False)
        yield
        lab.stop()
    lab.start()


def _try(lab, setup):
    """Breaks it, and returns the finding that names it."""
    what, broken, check, level, text, change = setup
    with broken(lab):
        status, findings = lab.doctor()
        if level == "problem":
            require(status == PROBLEM, f"{what}: doctor ended with {status}")
        found = [f for f in findings if f["check"] == check and f["level"] == level
                 and re.search(text, f["text"]) and re.search(change, f["change"] or "")]
        require(found, f"{what}: nobody says so: "
                       f"{[f for f in findings if f['level'] not in ('ok', 'skipped')]}")
        return found[0]


def try_all(lab, setups):
    rows = [(setup[0], setup[3], _try(lab, setup)) for setup in setups]
    path = os.environ.get("DOCTOR_TABLE")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            for what, _, finding in rows:
                cells = [part.replace(lab.directory, "/etc/jingle-relayd").replace("|", "\\|")
                     .replace("jingle-relayd/secret", "jingle-relayd/component-secret")
                     .replace("/etc/jingle-relayd/control", "/run/jingle-relayd/control")
                         .replace("\n", "; ") for part in (finding["text"], finding["change"])]
                file.write(f"| {what} | {finding['check']}: {cells[0]} | `{cells[1]}` |\n")
    status, findings = lab.doctor()
    require(status == OK, f"mended, but: {[f for f in findings if f['level'] == 'problem']}")
    return {"broken": len(rows), "found": len(rows)}


@scenario()
def doctor_strange_authority(lab):
    """A certificate of an authority that this machine does not know."""
    lab.trusting = lambda: dict(os.environ)
    status, findings = lab.doctor()
    require(status == OK, "that is a warning only")
    require(any("clients that check" in f["text"] and "fullchain.pem" in f["change"]
                for f in findings if f["level"] == "warning"), f"nobody says so: {findings}")
    return {"findings": len(findings)}


@scenario(selftest="10 min")
def doctor_selftest(lab):
    """The daemon tests itself, some seconds after its start, and says what it found."""
    found = wait_for("the self-test", lambda: lab.daemon.json("/api/status")["selftest"], 60)
    wrong = [f for f in found["findings"] if not f["ok"]]
    require(found["ok"] and not wrong, f"in order, but: {wrong}")
    relayed = [f for f in found["findings"] if "came back" in f["text"]]
    require(len(relayed) == 3, f"transports: {found}")
    metrics = lab.daemon.metrics()
    require((metrics["selftest_ok"], metrics["selftest_findings"]) == (1, 0), f"{metrics}")
    lab.stop()
    with lab.firewall("5349", "50000-50199, 3478"), lab.deaf(3478):
        lab.start()
        found = wait_for("the self-test", lambda: lab.daemon.json("/api/status")["selftest"], 60)
        wrong = [f["text"] for f in found["findings"] if not f["ok"]]
        require(len(wrong) == 1 and "TURN over TCP" in wrong[0], f"TCP is shut, but: {wrong}")
        metrics = lab.daemon.metrics()
        require((metrics["selftest_ok"], metrics["selftest_findings"]) == (0, 1), f"{metrics}")
    return {"findings": len(found["findings"])}


@scenario()
def doctor_server(lab):
    """What is broken between the relay and its XMPP server."""
    return try_all(lab, SERVER_SETUPS)


@scenario()
def doctor_host(lab):
    """What is broken on this machine and around it."""
    return try_all(lab, HOST_SETUPS)
