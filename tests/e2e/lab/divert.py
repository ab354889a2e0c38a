# SPDX-License-Identifier: ISC
"""A lab whose server hands its Jingle to the relay, as docs/OPERATING.md configures it."""


from .call import Call
from .divert_ejabberd import DivertEjabberd
from .documents import piece
from .lab import Lab
from .network import wait_for
from .servers import DOMAIN, Prosody

# Per server: its class, its piece of the document, and what its log says when the relay is there.
DOORS = {"prosody": (Prosody, "prosody-divert", "goes by way of"),
         "ejabberd": (DivertEjabberd, "ejabberd-divert", f"{DOMAIN} go by")}


class DivertLab(Lab):
    """door: a row of doors; more: more of the server's configuration."""

    doors = DOORS

    def __init__(self, daemon, *, door, more="", **options):
        kind, name, self.says = self.doors[door]

        def configured(network, directory, addresses):
            return kind(network, directory, addresses, more=piece(name, directory) + more)
        self.log = door
        super().__init__(daemon, server=configured, **options)
        try:
            self.wait_open()
        except BaseException:
            self.give_up()
            raise

    def times_opened(self):
        """How often the server has found the relay."""
        with open(f"{self.directory}/{self.log}.log", encoding="utf-8", errors="replace") as file:
            return file.read().count(self.says)

    def wait_open(self, times=1):
        wait_for("the server finds the relay", lambda: self.times_opened() >= times, 20)


class DivertedCall(Call):
    """Alice calls Bob's own address, and neither knows of a relay."""

    def address(self):
        return self.bob.jid
