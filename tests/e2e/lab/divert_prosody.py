# SPDX-License-Identifier: ISC
"""Prosody with our module, configured as docs/OPERATING.md says."""

from .servers import DOMAIN, Prosody

MODULE = "jingle_relay"


class DivertProsody(Prosody):
    """more: the rest of its configuration, which may name the module."""

    def __init__(self, network, directory, addresses, more=""):
        super().__init__(network, directory, addresses, more)
        self.configured = more
        with open(self.config, encoding="utf-8") as file:
            self.base = file.read().removesuffix(more)
        self.loaded, self.hosts = True, {DOMAIN}

    def only(self, user):
        """The configuration with which the module serves this user and nobody else."""
        option = "jingle_relay_component"
        return self.configured.replace(
            option, f'jingle_relay_users = {{ "{user}@{DOMAIN}" }}; {option}', 1)

    def add_host(self, domain, relay, user):
        """A second host with the module, a relay of its own or the same, and one user."""
        self._write(f"""{self.configured}
VirtualHost "{domain}"
  modules_enabled = {{ "{MODULE}" }}
  jingle_relay_component = "{relay}"
""")
        if domain in self.hosts:
            self.ask("module", "reload", MODULE, domain)
        else:
            self.ask("host", "activate", domain)
        self.hosts.add(domain)
        self.ask("user", "create", f"{user}@{domain}", f"{user}-pw")

    def _write(self, text):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(self.base + text)
        self.ask("config", "reload")

    def configure(self, text):
        """Puts TEXT, or nothing ("{}"), in the place of the rest, and the module into the state that
        follows."""
        self._write(text.replace("{}\n", ""))
        wanted = MODULE in text
        if wanted or self.loaded:
            action = "unload" if not wanted else "reload" if self.loaded else "load"
            self.ask("module", action, MODULE, DOMAIN)
        self.loaded = wanted

    def ask(self, *words):
        """Runs a command of the administrator's shell; returns what it says."""
        said, status = self.control("shell", *words)
        if status:
            raise RuntimeError(f"prosodyctl shell {' '.join(words)}: {said}")
        return said
