# SPDX-License-Identifier: ISC
"""A lab for desktop clients as Debian has them: they want TLS that they trust, a server that is
found by name, and peers in their roster. Nothing in it is a relay, STUN or TURN server to them.
"""

import asyncio
import os
import shutil

from .authority import Authority
from .client import Client
from .divert import DOORS, DivertLab
from .divert_ejabberd import DivertEjabberd
from .lab import SERVER4
from .puppets import User
from .servers import DOMAIN, Prosody

DESKTOPS = ("dino", "gajim", "pidgin")
TONES = {"alice": "440", "bob": "1000"}  # Hz; one alike would be taken for an echo
PRESENT = "<presence to='{to}' type='{type}'/>"


class TlsProsody(Prosody):
    def __init__(self, network, directory, addresses, more=""):
        super().__init__(network, directory, addresses, more + f"""
modules_enabled = {{ "jingle_relay", "tls" }}
allow_unencrypted_plain_auth = true -- for those who make the rosters
ssl = {{ certificate = "{directory}/server.pem"; key = "{directory}/server.key" }}
""")


class TlsEjabberd(DivertEjabberd):
    def __init__(self, network, directory, addresses, more=""):
        super().__init__(network, directory, addresses, more)
        with open(f"{self.directory}/ejabberd.yml", "r+", encoding="utf-8") as file:
            text = file.read().replace("ejabberd_c2s}", "ejabberd_c2s, starttls: true}")
            file.seek(0)
            file.write(f'certfiles: ["{directory}/server.both"]\n{text}')


class DesktopLab(DivertLab):
    """door: prosody or ejabberd, as in DivertLab."""

    doors = {"prosody": (TlsProsody, *DOORS["prosody"][1:]),
             "ejabberd": (TlsEjabberd, *DOORS["ejabberd"][1:])}

    def __init__(self, daemon, **options):
        super().__init__(daemon, ice_ports="dedicated", **options)
        try:
            self.network.inside("srv", lambda: asyncio.run(_acquaint()))
        except BaseException:
            self.give_up()
            raise

    def prepare(self):
        """Before anything runs: who is who, and whom to trust."""
        authority = Authority(self.directory)
        path = f"{self.directory}/server"
        authority.issue(path, [DOMAIN], [SERVER4])
        with open(f"{path}.both", "w", encoding="ascii") as both:
            for part in ("pem", "key"):
                with open(f"{path}.{part}", encoding="ascii") as file:
                    both.write(file.read())
        for part in ("pem", "key", "both"):
            os.chmod(f"{path}.{part}", 0o644)  # of this lab only
        self.network.know({DOMAIN: SERVER4})
        for home in ("alice", "bob"):
            certificates = f"/etc/netns/{self.network.namespace(home)}/ssl/certs"
            os.makedirs(certificates)
            shutil.copy(authority.certificate, f"{certificates}/ca-certificates.crt")

    def client(self, kind, user):
        return Client(self.network, user, kind, environment=kind in DESKTOPS and {
            "TMPDIR": self.directory, "DESKTOP_TONE": TONES[user]})


async def _acquaint():
    pair = [await User(name).join(SERVER4) for name in ("alice", "bob")]
    for one, other in (pair, pair[::-1]):
        asker, asked = f"{one.name}@{DOMAIN}", f"{other.name}@{DOMAIN}"

        def has(user, kind, sender):
            return user.take(lambda e: e.tag.endswith("}presence") and e.get("type") == kind
                             and e.get("from").startswith(sender),
                             f"{kind or 'presence'} from {sender}")

        one.write(PRESENT.format(to=asked, type="subscribe"))
        await has(other, "subscribe", asker)
        other.write(PRESENT.format(to=asker, type="subscribed"))
        await has(one, None, asked)
    for user in pair:
        await user.leave()
