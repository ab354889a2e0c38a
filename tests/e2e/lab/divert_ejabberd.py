# SPDX-License-Identifier: ISC
"""ejabberd with our module, installed and configured as docs/OPERATING.md says."""

import os
import shutil
import subprocess

from .documents import piece
from .servers import DOMAIN, Ejabberd

CONF = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../conf/ejabberd")
MODULE = "mod_jingle_relay"


class DivertEjabberd(Ejabberd):
    """more: the included file, which may name the module; it is there from start() on."""

    def __init__(self, network, directory, addresses, more=""):
        super().__init__(network, directory, addresses)
        self.configured = more
        self.included = f"{self.directory}/more.yml"
        package = f"{self.directory}/package"
        os.makedirs(f"{package}/src")
        shutil.copy(f"{CONF}/{MODULE}.spec", package)
        shutil.copy(f"{CONF}/{MODULE}.erl", f"{package}/src")
        self.package = package

    def start(self):
        super().start()
        self.install()
        self.configure(self.configured)

    def install(self):
        """As root, by the document's own lines, in the lab's places."""
        *copying, installing = piece("ejabberd-divert-install", "").strip().splitlines()
        for line in copying:
            line = line.replace("/usr/share/jingle-relayd/ejabberd", self.package)
            subprocess.run(["sh", "-c", line.replace("~ejabberd", self.directory)], check=True)
        self.ask(*installing.split()[1:])

    def only(self, user):
        """The configuration with which the module serves this user and nobody else."""
        return (f"acl:\n  callers: {{user: {user}@{DOMAIN}}}\n"
                "access_rules:\n  callers: {allow: callers}\n" + self.configured.replace(
            "component:", "access: callers\n    component:"))

    def add_host(self, domain, relay, user):
        """A second host with the module, a relay of its own or the same, and one user."""
        self.configure(f"""hosts: ["{domain}"]
host_config:
  {domain}:
    modules: {{mod_disco: {{}}, mod_roster: {{}}, {MODULE}: {{component: {relay}}}}}
{self.configured}""")
        self.ask("register", user, domain, f"{user}-pw")

    def configure(self, text):
        """Puts TEXT in the place of the included file."""
        with open(self.included, "w", encoding="utf-8") as file:
            file.write(text)
        self.ask("reload_config")

    def ask(self, *words):
        """Runs ejabberdctl; returns what it says. A failure is raised."""
        done = self.network.run("srv", *self.command, *words, check=False, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise RuntimeError(f"ejabberdctl {' '.join(words)}: {done.stdout}")
        return done.stdout

    def counts(self, domain=DOMAIN):
        """The module's counters, {name: value}; failed_open is all that went on as it was because
        the relay did not see to it."""
        said = self.ask("jingle_relay_stats", domain)
        counts = {name: int(value) for name, value in map(str.split, said.splitlines())}
        return {**counts, "failed_open": counts["failed"] + counts["timeout"] + counts["away"]}
