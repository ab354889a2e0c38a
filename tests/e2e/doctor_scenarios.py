# SPDX-License-Identifier: ISC
"""jingle-relayctl doctor: a relay in order, and set-ups that are broken in one thing each. Each must
be found, named, and have its line to change.

The table that is printed with DOCTOR_TABLE=FILE stands in docs/OPERATING.md.
"""

import json
import os
import re
import resource
import subprocess
import time

from lab.authority import Authority
from lab.call import require
from lab.daemon import Daemon
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
    tcp dport {{ 5222, 3478, 5349 }} accept
    udp dport {{ {udp} }} accept
  }}
}}
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
    """One host with Prosody and the daemon, in order."""

    def __init__(self, program, logs=None):
        super().__init__(logs)
        try:
            self.network.internet()
            self.network.host("srv", SERVER4)
            self.network.know({TURN_HOST: SERVER4})
            self.authority = Authority(self.directory)
            self.authority.issue(f"{self.directory}/turn", [TURN_HOST], [SERVER4])
            self.write("turn-secret", TURN_SECRET)
            os.chmod(f"{self.directory}/turn.key", 0o600)
            self.server = Prosody(self.network, self.directory, [SERVER4], HOST.format(
                domain=DOMAIN, relay=RELAY, host=TURN_HOST, secret=TURN_SECRET))
            self.daemon = Daemon(self.network, self.directory, program, address4=SERVER4,
                                 address6=None, groups=TURN.format(host=TURN_HOST,
                                                                   directory=self.directory))
            os.chmod(self.directory, 0o755)
            self.server.start()
            self.start()
        except BaseException:
            if logs:
                self.save_logs()
            self.close()
            raise

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

    def doctor(self, *arguments):
        """(exit status, findings)"""
        program = f"{os.path.dirname(self.daemon.program)}/jingle-relayctl"
        done = self.network.run(
            "srv", program, "--config", self.daemon.config, "--json", *arguments, "doctor",
            check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120,
            stdin=subprocess.DEVNULL)
        require(done.stdout, f"doctor said nothing: {done.stderr}")
        return done.returncode, json.loads(done.stdout)["findings"]

    def said(self):
        """What it prints for people."""
        program = f"{os.path.dirname(self.daemon.program)}/jingle-relayctl"
        return self.network.run("srv", program, "--config", self.daemon.config, "doctor",
                                check=False, stdout=subprocess.PIPE, text=True).stdout


@scenario()
def doctor_in_order(lab):
    """Nothing is wrong, and nothing is said to be."""
    status, findings = lab.doctor()
    print(lab.said())
    bad = [f for f in findings if f["level"] == "problem"]
    require(status == OK and not bad, f"in order, but: {bad}")
    return {"findings": len(findings)}
