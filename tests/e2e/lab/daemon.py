# SPDX-License-Identifier: ISC
"""The daemon under test, with a configuration for the lab."""

import http.client
import json
import os

from .servers import DOMAIN, RELAY, SECRET

PORTS = (50000, 50199)
STATS_PORT = 8791

# The internet of the lab has documentation addresses, which are no destination otherwise.
CONFIG = """
xmpp: {{
  domain = "{relay}";
  server = "127.0.0.1";
  secret_file = "{directory}/secret";
  served_domains = [ "{domain}" ];
}};
relay: {{
  address4 = "{address4}";
  address6 = "{address6}";
  ports = "{ports[0]}-{ports[1]}";
  policy = "{policy}";
  ice_ports = "{ice_ports}";
  fastpath = "{fastpath}";
  allow_peers = [ "203.0.113.0/24", "2001:db8::/32" ];
}};
control: {{ socket = "{directory}/control"; }};
stats: {{ listen = "127.0.0.1:{stats}"; selftest = "{selftest}"; }};
log: {{ level = "debug"; target = "stderr"; }};
{groups}
"""


def unlimited(groups):
    """The same groups without a limit of the load: browsers and sanitizers keep this machine busy,
    whatever the daemon does."""
    if "load =" in groups:
        return groups
    if "limits: {" in groups:
        return groups.replace("limits: {", "limits: { load = 0;", 1)
    return "limits: { load = 0; };\n" + groups


class Daemon:
    """groups: more groups of the configuration, as text."""

    def __init__(self, network, directory, program, *, address4, address6, policy="fallback",
                 ice_ports="shared", fastpath="auto", groups="", selftest="none"):
        self.network = network
        self.program = program
        self.process = None
        self.config = f"{directory}/jingle-relayd.conf"
        self.control = f"{directory}/control"
        secret = os.open(f"{directory}/secret", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(secret, SECRET.encode())
        os.close(secret)
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(
                relay=RELAY, domain=DOMAIN, directory=directory, address4=address4,
                address6=address6 or "none", policy=policy, ports=PORTS, stats=STATS_PORT,
                ice_ports=ice_ports, fastpath=os.environ.get("FASTPATH", fastpath),
                selftest=selftest, groups=unlimited(groups)))

    def start(self, *arguments):
        self.process = self.network.start("srv", self.program, "--config", self.config, *arguments,
                                          log="jingle-relayd")

    def stop(self):
        """Asks it to end, if it has not; returns its exit status."""
        return self.network.stop(self.process, patience=20)

    def get(self, path):
        """One GET to the statistics: (status, text)."""
        def request():
            connection = http.client.HTTPConnection("127.0.0.1", STATS_PORT, timeout=5)
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        return self.network.inside("srv", request)

    def json(self, path):
        status, text = self.get(path)
        if status != 200:
            raise RuntimeError(f"GET {path}: {status} {text}")
        return json.loads(text)

    def is_up(self):
        """Whether it runs and has joined the XMPP server."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the daemon ended with status {self.process.returncode}")
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    def metrics(self):
        """The metrics as {"name{labels}": value}, without the common prefix."""
        rows = {}
        for line in self.get("/metrics")[1].splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                rows[name.removeprefix("jingle_relay_")] = float(value)
        return rows

    def drops(self):
        """Datagrams dropped so far, by reason."""
        start = 'drops_total{reason="'
        return {name[len(start):-2]: int(value) for name, value in self.metrics().items()
                if name.startswith(start)}
