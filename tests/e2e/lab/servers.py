# SPDX-License-Identifier: ISC
"""The XMPP servers of the lab: Prosody, and ejabberd as the second opinion.

Plain text inside the lab: what is tested is calls, not TLS. Both listen for clients on 5222 and for
WebSockets on 5280 at every address of their host, and for the component on 127.0.0.1:5347.
"""

import os
import re
import shutil
import socket
import subprocess
import urllib.request

from .network import wait_for

DOMAIN = "example.test"
RELAY = f"relay.{DOMAIN}"
SECRET = "lab-component-secret"
USERS = ("alice", "bob")

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../..")

PROSODY = """
plugin_paths = {{ "{modules}" }}
statistics = "internal"
statistics_interval = "manual"
openmetrics_allow_cidr = "0.0.0.0/0"
data_path = "{directory}"
pidfile = "{directory}/prosody.pid"
log = {{ {{ levels = {{ min = "info" }}, to = "console" }} }}
modules_enabled = {{ "roster", "saslauth", "disco", "ping", "presence", "message", "iq",
  "websocket", "carbons", "blocklist", "http_openmetrics", "admin_shell" }}
modules_disabled = {{ "s2s", "tls", "offline" }}
authentication = "internal_plain"
storage = "internal"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
interfaces = {{ {interfaces} }}
c2s_ports = {{ 5222 }}
http_ports = {{ 5280 }}
http_interfaces = {{ {interfaces} }}
https_ports = {{ }}
http_default_host = "{domain}"
cross_domain_websocket = true
consider_websocket_secure = true
component_ports = {{ 5347 }}
component_interfaces = {{ "127.0.0.1" }}
VirtualHost "{domain}"
Component "{relay}"
  component_secret = "{secret}"
"""

EJABBERD = """
hosts: ["{domain}"]
loglevel: info
auth_method: internal
auth_password_format: plain
acl: {{local: {{user_regexp: ""}}}}
access_rules: {{local: {{allow: local}}}}
listen:
  - {{port: 5222, ip: "0.0.0.0", module: ejabberd_c2s}}
  - {{port: 5280, ip: "0.0.0.0", module: ejabberd_http,
     request_handlers: {{/xmpp-websocket: ejabberd_http_ws}}}}
  - {{port: 5347, ip: "127.0.0.1", module: ejabberd_service,
     hosts: {{"{relay}": {{password: "{secret}"}}}}}}
modules:
  mod_disco: {{}}
  mod_roster: {{}}
  mod_caps: {{}}
  mod_ping: {{}}
"""

# Erlang's own name service, on a port of its own.
EJABBERD_CONTROL = """
ERL_EPMD_ADDRESS=127.0.0.1
ERLANG_NODE=ejabberd@localhost
INET_DIST_INTERFACE=127.0.0.1
"""


def _listens(network, host, port):
    def connect():
        try:
            socket.create_connection((host, port), 1).close()
            return True
        except OSError:
            return False
    return network.inside("srv", connect)


def _write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


class Prosody:
    """more: what is read after this configuration, as from conf.d."""

    def __init__(self, network, directory, addresses, more=""):
        self.network = network
        self.address = addresses[0]
        self.directory = f"{directory}/prosody"
        accounts = f"{self.directory}/{DOMAIN.replace('.', '%2e')}/accounts"
        os.makedirs(accounts)
        for user in USERS:
            _write(f"{accounts}/{user}.dat", f'return {{ ["password"] = "{user}-pw" }};\n')
        interfaces = ", ".join(f'"{a}"' for a in addresses)
        modules = f"{self.directory}/modules"  # ours, as an installation has them
        shutil.copytree(f"{ROOT}/conf/prosody", modules)
        self.config = _write(f"{directory}/prosody.cfg.lua", PROSODY.format(
            directory=self.directory, modules=modules, interfaces=interfaces, domain=DOMAIN,
            relay=RELAY, secret=SECRET) + more)
        subprocess.run(["chown", "-R", "prosody:prosody", self.directory], check=True)
        self.process = None

    def start(self):
        self.process = self.network.start(
            "srv", "setpriv", "--reuid=prosody", "--regid=prosody", "--clear-groups",
            "prosody", "--config", self.config, "-F", log="prosody")
        for port in (5222, 5280):
            wait_for(f"Prosody on port {port}", lambda: _listens(self.network, self.address, port))
        wait_for("Prosody on port 5347", lambda: _listens(self.network, "127.0.0.1", 5347))

    def stop(self):
        self.network.stop(self.process)

    def counts(self):
        """What mod_jingle_relay counted so far, by name."""
        text = self.network.inside("srv", lambda: urllib.request.urlopen(
            f"http://{self.address}:5280/metrics", timeout=5).read().decode())
        counts = {name: int(float(value)) for name, value in re.findall(
            r'^prosody_mod_jingle_relay__(\w+)_total\{[^}]*\} (\S+)', text, re.M)}
        return {**counts, "failed_open": counts["failed"] + counts["timeout"] + counts["away"]}

    def control(self, *words):
        """Runs prosodyctl; returns what it says, and its exit status."""
        done = self.network.run("srv", "prosodyctl", "--config", self.config, *words, check=False,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout, done.returncode


class Ejabberd:
    """more: what include_config_file adds to this configuration."""

    def __init__(self, network, directory, addresses, more=""):
        self.network = network
        self.address = addresses[0]
        self.directory = f"{directory}/ejabberd"
        os.makedirs(self.directory)
        names = {"domain": DOMAIN, "relay": RELAY, "secret": SECRET}
        included = _write(f"{self.directory}/more.yml", more or "{}\n")
        config = _write(f"{self.directory}/ejabberd.yml", EJABBERD.format(**names)
                        + f"include_config_file:\n  - \"{included}\"\n")
        control = _write(f"{self.directory}/ejabberdctl.cfg", EJABBERD_CONTROL)
        shutil.chown(self.directory, "ejabberd", "ejabberd")
        self.command = [
            "env", "ERL_EPMD_PORT=4379", f"HOME={self.directory}",
            "setpriv", "--reuid=ejabberd", "--regid=ejabberd", "--init-groups",
            "ejabberdctl", "--config", config, "--ctl-config", control,
            "--logs", self.directory, "--spool", f"{self.directory}/db"]
        self.process = None

    def control(self, *words):
        self.network.run("srv", *self.command, *words, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)

    def start(self):
        self.process = self.network.start("srv", *self.command, "foreground", log="ejabberd")
        for port in (5222, 5280):
            wait_for(f"ejabberd on port {port}", lambda: _listens(self.network, self.address, port),
                     seconds=40)
        for user in USERS:
            self.control("register", user, DOMAIN, f"{user}-pw")

    def stop(self):
        self.network.stop(self.process)
