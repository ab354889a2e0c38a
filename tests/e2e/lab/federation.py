# SPDX-License-Identifier: ISC
"""Two servers that federate, each with its own relay, or without: Alice is at home on the first, Bob
on the second. Plain dialback (XEP-0220) inside the lab.

The second site is made like the first, with its names and its place changed.
"""

import os
import sys

from .call import Call, require
from .client import CLIENTS
from .daemon import Daemon
from .divert import DOORS
from .documents import piece
from .lab import SERVER4, Lab
from .network import wait_for
from .servers import DOMAIN

OTHER, OTHER4 = "other.test", "203.0.113.11"

# Per door: what makes it federate, and what is to be replaced in its configuration.
FEDERATES = {
    "prosody": ("\n", ('"s2s", ', ""), ("modules_enabled = {", (
        "s2s_require_encryption = false\ns2s_secure_auth = false\n"
        'modules_enabled = { "dialback",'))),
    "ejabberd": ("", ("modules:\n", (
        '  - {port: 5269, ip: "0.0.0.0", module: ejabberd_s2s_in}\n'
        "modules:\n  mod_s2s_dialback: {}\n"))),
}


class Elsewhere:
    """The network as the second site sees it: its server's host is the other one."""

    def __init__(self, network):
        self.network = network

    def __getattr__(self, name):
        return getattr(self.network, name)

    def start(self, name, *argv, log, **options):
        return self.network.start("srv2" if name == "srv" else name, *argv, log=f"{log}-other",
                                  **options)

    def run(self, name, *argv, **options):
        return self.network.run("srv2" if name == "srv" else name, *argv, **options)

    def inside(self, name, function):
        return self.network.inside("srv2" if name == "srv" else name, function)


def _edit(path, replacements):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for old, new in replacements:
        text = text.replace(old, new, 1)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _rename(text):
    return text.replace(DOMAIN, OTHER)


class FederatedLab(Lab):
    """doors: rows of DOORS, of Alice's and of Bob's server; diverts: which have the module."""

    names = {DOMAIN: SERVER4, OTHER: OTHER4}  # that the servers can look up

    def __init__(self, daemon, *, doors, diverts=(True, True), **options):
        self.doors, self.diverts = doors, diverts
        super().__init__(daemon, server=self._near, **options)
        try:
            self._start_other(daemon)
            for log, door, has in zip(("", "-other"), doors, diverts):
                if has:
                    wait_for(f"{door}{log} finds its relay", lambda: self._found(door, log), 20)
        except BaseException:
            self.give_up()
            raise

    def _wire(self, *options):
        super()._wire(*options)
        self.network.host("srv2", OTHER4)

    def prepare(self):
        self.network.know(self.names)
        for host in ("srv", "srv2"):
            self.network.start(host, sys.executable, f"{CLIENTS}/names.py",
                               *(f"{name}={address}" for name, address in self.names.items()),
                               log=f"{host}-names")

    def _found(self, door, log):
        with open(f"{self.directory}/{door}{log}.log", encoding="utf-8", errors="replace") as file:
            text = file.read()
        return DOORS[door][2].replace(DOMAIN, OTHER if log else DOMAIN) in text

    def _server(self, network, directory, addresses, number):
        door = self.doors[number]
        kind, name, _ = DOORS[door]
        more, *replacements = FEDERATES[door]
        if self.diverts[number]:
            more += piece(name, directory)
        server = kind(network, directory, addresses, more=more)
        path = getattr(server, "config", f"{server.directory}/ejabberd.yml")
        _edit(path, replacements)
        return server

    def _near(self, network, directory, addresses):
        return self._server(network, directory, addresses, 0)

    def _start_other(self, daemon):
        elsewhere, directory = Elsewhere(self.network), f"{self.directory}/other"
        os.makedirs(directory)
        os.chmod(directory, 0o755)
        self.other = _settle(self._server(elsewhere, directory, [OTHER4], 1))
        self.other_daemon = Daemon(elsewhere, directory, daemon, address4=OTHER4, address6=None)
        _edit_all(self.other_daemon.config)
        self.other.start()
        self.other_daemon.start()
        wait_for("the other daemon", self.other_daemon.is_up, 20)

    def connect(self, client):
        if client.user == "alice":
            super().connect(client)
        else:
            client.jid = client.ask("connect", user=client.user, domain=OTHER, server=OTHER4,
                                    resource=client.kind)["jid"]


def _edit_all(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(_rename(text))


def _settle(server):
    """Moves a server that does not run yet to the other domain."""
    if hasattr(server, "config"):  # Prosody
        _edit_all(server.config)
        os.rename(f"{server.directory}/{DOMAIN.replace('.', '%2e')}",
                  f"{server.directory}/{OTHER.replace('.', '%2e')}")
        return server
    _edit_all(f"{server.directory}/ejabberd.yml")
    server.configured = _rename(server.configured)
    register = server.control
    server.control = lambda *words: register(*map(_rename, words))
    return server


class FederatedCall(Call):
    """Alice calls Bob at the other server by his own address."""

    def address(self):
        return self.bob.jid

    def views(self):
        """What the two relays say of this call, None where one does not know it."""
        def view(daemon):
            known = daemon.json("/api/calls")
            for line in known["calls"] + known["ended"]:
                if line["sid"] == self.sid:
                    return daemon.json(f"/api/calls/{line['id']}")
            return None
        return [view(self.lab.daemon), view(self.lab.other_daemon)]

    def verdicts(self):
        verdicts = [view and view["verdict"] for view in self.views()]
        require("carried" in verdicts, f"the relays' verdicts: {verdicts}")
        return verdicts
