# SPDX-License-Identifier: ISC
"""A server with our module on a host of its own, for puppets (puppets.py)."""

import asyncio
import os

from .daemon import Daemon
from .divert_ejabberd import DivertEjabberd
from .divert_prosody import DivertProsody
from .documents import piece
from .lab import SERVER4, Place
from .puppets import User
from .servers import DOMAIN, SECRET

REMOTE = "remote.test"  # a component that plays another server
OTHER, OTHER_RELAY = "other.test", "relay.other.test"  # a second host of the server

# Per server: its class, its piece of the document, and more of its configuration: blocking (which
# needs privacy lists), chat rooms, many sessions of one user, components that play another server
# and another relay.
SERVERS = {"ejabberd": (DivertEjabberd, "ejabberd-divert", f"""
  mod_privacy: {{}}
  mod_blocking: {{}}
  mod_stream_mgmt: {{}}
  mod_muc: {{}}
shaper_rules: {{max_user_sessions: 1000}}
listen:
  - {{port: 5348, ip: "127.0.0.1", module: ejabberd_service,
     global_routes: false,
     hosts: {{"{REMOTE}": {{password: "{SECRET}"}}, "{OTHER_RELAY}": {{password: "{SECRET}"}}}}}}
"""), "prosody": (DivertProsody, "prosody-divert", f"""
  modules_enabled = {{ "jingle_relay", "smacks" }}
VirtualHost "*"
  component_ports = {{ 5347, 5348 }}
Component "conference.{DOMAIN}" "muc"
  muc_room_locking = false
Component "{REMOTE}"
  component_secret = "{SECRET}"
Component "{OTHER_RELAY}"
  component_secret = "{SECRET}"
""")}


class Stage(Place):
    """One host with a server and nothing else; puppets run inside."""

    def __init__(self, server, logs=None):
        super().__init__(logs)
        self.name = server
        os.chmod(self.directory, 0o755)
        try:
            self.network.add("srv")
            self.network.ip("srv", "addr", "add", f"{SERVER4}/32", "dev", "lo")
            kind, name, more = SERVERS[server]
            self.server = kind(self.network, self.directory, ["127.0.0.1"],
                               more=piece(name, self.directory) + more)
            self.server.start()
        except BaseException:
            self.give_up()
            raise

    def close(self):
        if getattr(self, "server", None) and self.server.process:
            self.server.stop()
        super().close()

    async def ask_server(self, function, *arguments):
        """What takes long and does not wait by itself."""
        return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)

    async def users(self, *resources):
        """Alice and Bob, each at this resource, or several of Bob's."""
        alice = await User("alice", resources[0] if resources else "x").join()
        bobs = [await User("bob", r).join() for r in resources or ("x",)]
        return alice, *bobs

    def daemon(self, program):
        """The real relay; started, and to be stopped with the stage."""
        daemon = Daemon(self.network, self.directory, program, address4=SERVER4, address6=None,
                        groups="limits: { calls_per_user = 0; new_calls_per_minute = 0; };")
        daemon.start()
        return daemon
