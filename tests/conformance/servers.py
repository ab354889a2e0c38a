# SPDX-License-Identifier: ISC
"""The servers that the lab can start: this project's daemon, coturn and ejabberd (Debian packages).

Each is configured as an operator would do it who reads its documentation: TURN REST secret, UDP,
TCP and TLS, both address families, and everything optional that it has switched on.
"""

import os
import re
import shutil
import socket
import subprocess

ADDRESS4, ADDRESS6 = "192.0.2.1", "2001:db8:1::1"
PORT, TLS_PORT = 3478, 5349
REALM = "example.org"
SECRET = "conformance-secret-of-more-than-128-bits"
RELAY_PORTS = (49152, 49551)


def write(path, text, mode=0o644):
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
    return path


def certificate(directory):
    """(certificate, key), RSA, self-signed."""
    paths = f"{directory}/cert.pem", f"{directory}/key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", f"/CN={REALM}", "-out", paths[0], "-keyout", paths[1]],
                   check=True, capture_output=True)
    return paths


def listens(network, port, host=ADDRESS4):
    def connect():
        try:
            socket.create_connection((host, port), 1).close()
            return True
        except OSError:
            return False
    return network.inside("server", connect)


class Server:
    def __init__(self, network, directory, program=None):
        self.network = network
        self.directory = directory
        self.program = program
        self.process = None
        self.certificate, self.key = certificate(directory)

    def is_up(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.kind} ended with status {self.process.returncode}")
        return listens(self.network, PORT) and listens(self.network, TLS_PORT)

    def stop(self):
        return self.network.stop(self.process, patience=20)


DAEMON = """
xmpp: {{
  domain = "relay.{realm}";
  server = "127.0.0.1";
  secret_file = "{directory}/component-secret";
  served_domains = [ "{realm}" ];
}};
relay: {{
  address4 = "{address4}";
  address6 = "{address6}";
  ports = "{ports[0]}-{ports[1]}";
  allow_peers = [ "192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32" ];
}};
limits: {{
  load = 0;
  allocations_per_user = 20;
  stun_answers = 1000000;
  connections_per_address = 1000;
}};
turn: {{
  enabled = true;
  realm = "{realm}";
  ports = [ {port} ];
  tls_ports = [ {tls} ];
  certificate = "{certificate}";
  key = "{key}";
  secret_files = [ "{directory}/turn-secret" ];
  mobility = true;
  tcp_allocations = true;
  old_stun = true;
}};
log: {{ level = "info"; target = "stderr"; }};
"""


class Daemon(Server):
    kind = "jingle-relayd"

    def version(self):
        return subprocess.run([self.program, "--version"], capture_output=True,
                              text=True).stdout.split()[-1]

    def start(self):
        write(f"{self.directory}/component-secret", "no XMPP server is here\n", 0o600)
        write(f"{self.directory}/turn-secret", SECRET + "\n", 0o600)
        config = write(f"{self.directory}/jingle-relayd.conf", DAEMON.format(
            directory=self.directory, realm=REALM, address4=ADDRESS4, address6=ADDRESS6,
            ports=RELAY_PORTS, port=PORT, tls=TLS_PORT, certificate=self.certificate, key=self.key))
        self.process = self.network.start("server", self.program, "--config", config,
                                          log="jingle-relayd")


COTURN = """
listening-ip={address4}
listening-ip={address6}
relay-ip={address4}
relay-ip={address6}
listening-port={port}
tls-listening-port={tls}
min-port={ports[0]}
max-port={ports[1]}
realm={realm}
use-auth-secret
static-auth-secret={secret}
cert={certificate}
pkey={key}
mobility
user-quota=20
no-cli
log-file=stdout
simple-log
pidfile={directory}/coturn.pid
userdb={directory}/coturn.sqlite
"""


class Coturn(Server):
    kind = "coturn"

    def version(self):
        return debian("coturn")

    def start(self):
        config = write(f"{self.directory}/turnserver.conf", COTURN.format(
            directory=self.directory, realm=REALM, address4=ADDRESS4, address6=ADDRESS6,
            ports=RELAY_PORTS, port=PORT, tls=TLS_PORT, certificate=self.certificate, key=self.key,
            secret=SECRET))
        self.process = self.network.start("server", "turnserver", "-c", config, log="coturn")


EJABBERD = """
hosts: ["{realm}"]
loglevel: info
auth_method: internal
certfiles: ["{directory}/both.pem"]
listen:
  - {{port: {port}, ip: "0.0.0.0", transport: udp, {turn}}}
  - {{port: {port}, ip: "{address6}", transport: udp, {turn}}}
  - {{port: {port}, ip: "0.0.0.0", transport: tcp, {turn}}}
  - {{port: {tls}, ip: "0.0.0.0", transport: tcp, tls: true, {turn}}}
modules:
  mod_disco: {{}}
  mod_stun_disco:
    secret: "{secret}"
"""
EJABBERD_TURN = """module: ejabberd_stun, use_turn: true, auth_type: user, auth_realm: "{realm}",
     turn_ipv4_address: "{address4}", turn_ipv6_address: "{address6}",
     turn_min_port: {ports[0]}, turn_max_port: {ports[1]}, turn_max_allocations: 20"""
# Erlang's own name service, on a port of its own.
EJABBERD_CONTROL = """
ERL_EPMD_ADDRESS=127.0.0.1
ERLANG_NODE=ejabberd@localhost
INET_DIST_INTERFACE=127.0.0.1
"""


class Ejabberd(Server):
    kind = "ejabberd"

    def version(self):
        return debian("ejabberd")

    def start(self):
        names = {"realm": REALM, "address4": ADDRESS4, "address6": ADDRESS6, "ports": RELAY_PORTS,
                 "port": PORT, "tls": TLS_PORT, "secret": SECRET}
        home = f"{self.directory}/ejabberd"
        os.makedirs(home)
        with open(f"{home}/both.pem", "w", encoding="utf-8") as both:
            for path in (self.key, self.certificate):
                with open(path, encoding="utf-8") as part:
                    both.write(part.read())
        config = write(f"{home}/ejabberd.yml", EJABBERD.format(
            directory=home, turn=" ".join(EJABBERD_TURN.format(**names).split()), **names))
        control = write(f"{home}/ejabberdctl.cfg", EJABBERD_CONTROL)
        os.chmod(self.directory, 0o755)
        for path in (home, f"{home}/both.pem"):
            shutil.chown(path, "ejabberd", "ejabberd")
        self.process = self.network.start(
            "server", "env", "ERL_EPMD_PORT=4389", f"HOME={home}",
            "setpriv", "--reuid=ejabberd", "--regid=ejabberd", "--init-groups",
            "ejabberdctl", "--config", config, "--ctl-config", control, "--logs", home,
            "--spool", f"{home}/db", "foreground", log="ejabberd")


def debian(package):
    text = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True,
                          text=True).stdout
    return re.sub(r"^\d+:|[-+].*", "", text) or "not installed"


KINDS = {"daemon": Daemon, "coturn": Coturn, "ejabberd": Ejabberd}
