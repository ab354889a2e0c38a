# SPDX-License-Identifier: ISC
"""A lab whose clients know nothing but their own server, which names the relay (XEP-0215): server and
daemon are configured by what docs/OPERATING.md shows."""

import os
import re
import subprocess

from .authority import Authority
from .call import Call, require
from .documents import TURN_HOST, TURN_SECRET, piece
from .lab import SERVER4, Lab
from .network import wait_for
from .servers import DOMAIN
from .services import EXTDISCO, parse

DISCO = "http://jabber.org/protocol/disco#info"
PORT, TLS_PORT = 3478, 5349


class ServiceLab(Lab):
    """One of the PIECES of the document goes into the server; 'more' is appended to it."""

    def __init__(self, daemon, *, server, service, more="", **options):
        def configured(network, directory, addresses):
            return server(network, directory, addresses, more=piece(service, directory) + more)
        super().__init__(daemon, server=configured, **options)

    def prepare(self):
        self.network.know({TURN_HOST: SERVER4})
        self._write("turn-secret", TURN_SECRET)
        Authority(self.directory).issue(f"{self.directory}/turn", [TURN_HOST], [SERVER4])
        self.groups = piece("daemon-turn", self.directory)

    def _write(self, name, text):
        file = os.open(f"{self.directory}/{name}", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(file, text.encode())
        os.close(file)

    # --- asking ---

    def asker(self, user="alice"):
        """A client that asks what it is told to ask."""
        asker = self.client("asker", user)
        self.connect(asker)
        return asker

    @staticmethod
    def announced(asker, feature=EXTDISCO):
        """Waits until the server says that it has the feature: a delegation comes after a while."""
        def there():
            answer = asker.ask("query", payload=f"<query xmlns='{DISCO}'/>", to=DOMAIN)
            return feature in re.findall(r"""var=["']([^"']+)""", answer["xml"])
        wait_for(f"the server's feature {feature}", there, 10)

    @staticmethod
    def services(asker, version=2, kind=None):
        """What the own server's domain answers."""
        namespace = f"urn:xmpp:extdisco:{version}"
        only = f" type='{kind}'" if kind else ""
        answer = asker.ask("query", payload=f"<services xmlns='{namespace}'{only}/>", to=DOMAIN)
        require((answer["type"], answer["from"]) == ("result", DOMAIN), f"answer: {answer}")
        return parse(answer["xml"], namespace=namespace)

    @staticmethod
    def credentials(asker, service):
        """The same for one service; what there is not gives an error or nothing."""
        attributes = " ".join(f"{name}='{service[name]}'" for name in ("type", "host", "port"))
        answer = asker.ask("query", to=DOMAIN, payload=(
            f"<credentials xmlns='{EXTDISCO}'><service {attributes}/></credentials>"))
        if answer["type"] != "result":
            return []
        # ejabberd calls the answer <services/>.
        return parse(answer["xml"], "credentials") or parse(answer["xml"])

    # --- the relay ---

    def try_login(self, name, password):
        """coturn's client relays over UDP, TCP and TLS with this login; returns how many messages
        it sent and got each way."""
        figures = {}
        started = [(way, self.network.start(
            "bob", "timeout", "20", "turnutils_uclient", "-y", "-c", "-m", "1", "-n", "20", "-u", name,
            "-w", password, "-p", str(port), *flags, TURN_HOST, log=f"uclient-{way}",
            stdout=subprocess.PIPE, text=True))
            for way, port, flags in (("udp", PORT, ()), ("tcp", PORT, ("-t",)),
                                     ("tls", TLS_PORT, ("-t", "-S")))]
        for way, process in started:
            text = process.communicate(timeout=30)[0]
            sums = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)", text)
            require(sums, f"turnutils_uclient over {way} with {name}: {text[-400:]}")
            sent, got = figures[way] = [int(count) for count in sums[-1]]
            # It may end while its last message is under way.
            require(sent > 0 and got >= sent - 2, f"over {way}: {got} of {sent} came")
        return figures

    def allocations(self):
        return self.daemon.json("/api/allocations")["allocations"]


class RelayedCall(Call):
    """Alice calls Bob's own JID; both sides use nothing but what their server named to them."""

    def connect(self):
        self.servers = []
        for client in self.both:
            answer = client.ask("connect", user=client.user, domain=DOMAIN, server=SERVER4,
                                resource=client.kind, relay=True)
            client.jid = answer["jid"]
            self.servers.append(answer["iceServers"])
        return self

    def address(self):
        return self.bob.jid
