# SPDX-License-Identifier: ISC
"""A lab whose clients know nothing but their own server, which names the relay (XEP-0215). Server
and daemon are configured by what docs/OPERATING.md shows."""

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
RULES = """
table inet lab {{
  chain input {{
    type filter hook input priority filter; policy drop;
    iif lo accept
    ct state established,related accept
    tcp dport {{ 5222, 5280 }} accept
    {rules}
  }}
}}
"""


class ServiceLab(Lab):
    """A lab whose server has what the document's piece SERVICE adds to it.

    more       more of the server's configuration
    shares     the server's own module makes the logins, with a secret that the daemon knows
    one_port   the firewall lets nothing in for the relayed addresses
    """

    def __init__(self, daemon, *, server, service, more="", shares=False, one_port=False,
                 **options):
        def configured(network, directory, addresses):
            return server(network, directory, addresses, more=piece(service, directory) + more)
        self.shares, self.one_port = shares, one_port
        super().__init__(daemon, server=configured, **options)

    def prepare(self):
        self.network.know({TURN_HOST: SERVER4})
        Authority(self.directory).issue(f"{self.directory}/turn", [TURN_HOST], [SERVER4])
        self.groups = piece("daemon-turn", self.directory)
        if self.shares:
            self._write("turn-secret", TURN_SECRET)
            more = piece("daemon-secret", self.directory)
            self.groups = self.groups.replace("};", f"{more}}};")
        self._shut(piece("firewall-ports", self.directory) +
                   ("" if self.one_port else piece("firewall-relayed", self.directory)))

    def _shut(self, rules):
        """The server's firewall: what the document lets in, its clients, and nothing else."""
        self.network.run("srv", "nft", "-f", "-", input=RULES.format(rules=rules), text=True)

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
    def services(asker, version=2, kind=None, of=DOMAIN):
        """What the own server's domain answers, or somebody else."""
        namespace = f"urn:xmpp:extdisco:{version}"
        only = f" type='{kind}'" if kind else ""
        answer = asker.ask("query", payload=f"<services xmlns='{namespace}'{only}/>", to=of)
        require((answer["type"], answer["from"]) == ("result", of), f"answer: {answer}")
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
        """coturn's client relays with this login over UDP, TCP and TLS, as the document has it;
        returns how many messages it sent and got each way."""
        text = piece("check-login", self.directory)
        return self._relay_by(
            text.replace("NAME", name).replace("PASSWORD", password).splitlines())

    def try_secret(self):
        """The same with the secret itself."""
        return self._relay_by([piece("check-secret", self.directory)])

    def _relay_by(self, lines):
        """Runs these lines at the same time, each on the relay's host or in Bob's home."""
        figures = []
        host = "srv" if "turn-secret" in lines[0] else "bob"
        started = [self.network.start(host, "timeout", "20", "sh", "-c", line, text=True,
                                      log=f"uclient-{number}", stdout=subprocess.PIPE)
                   for number, line in enumerate(lines)]
        for line, process in zip(lines, started):
            text = process.communicate(timeout=30)[0]
            sums = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)", text)
            require(sums, f"{line}: {text[-400:]}")
            sent, got = [int(count) for count in sums[-1]]
            # It may end while its last message is under way.
            require(sent > 0 and got >= sent - 2, f"{line}: {got} of {sent} came")
            figures.append([sent, got])
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
