# SPDX-License-Identifier: ISC
"""jingle-relayctl doctor in other places than beside Prosody on one public address: with ejabberd,
on both address families, and behind a 1:1 NAT that leads back from inside or does not. In order,
nothing is said to be wrong; broken, the line to change is for what is there. And what looks broken
only.
"""

import contextlib
import os
import subprocess

from doctor_scenarios import (OK, TURN_HOST, TURN_SECRET, DoctorLab, another_secret, try_all)
from lab.call import require
from lab.divert_ejabberd import DivertEjabberd
from lab.lab import SERVER4, SERVER6
from lab.network import wait_for
from lab.scenarios import Scenarios
from lab.servers import DOMAIN, RELAY, SECRET, Prosody

# What docs/OPERATING.md tells a person to write.
EJABBERD = f"""
acl:
  relay:
    server: {RELAY}
access_rules:
  services:
    - allow: local
    - allow: relay
modules:
  mod_time: {{}}
  mod_jingle_relay:
    component: {RELAY}
  mod_stun_disco:
    access: services
    offer_local_services: false
    credentials_lifetime: 12 hours
    secret: "{TURN_SECRET}"
    services:
      - {{host: {TURN_HOST}, port: 3478, type: stun, transport: udp}}
      - {{host: {TURN_HOST}, port: 3478, type: turn, transport: udp}}
      - {{host: {TURN_HOST}, port: 3478, type: turn, transport: tcp}}
      - {{host: {TURN_HOST}, port: 5349, type: turns, transport: tcp}}
"""

INSIDE4 = "10.7.0.2"

# All that comes to the public address goes in, and as it is; HAIRPIN: also from inside.
ONE_TO_ONE = """
table ip one {{
  chain pre {{ type nat hook prerouting priority -100; {who} ip daddr {outside} dnat to {inside}; }}
  chain post {{ type nat hook postrouting priority 90;
    ip saddr {inside} oifname "pub" snat to {outside}; {back} }}
  chain through {{ type filter hook forward priority -10; ct status dnat accept; }}
}}
"""


class EjabberdLab(DoctorLab):
    """ejabberd instead of Prosody."""

    def make_server(self):
        return DivertEjabberd(self.network, self.directory, [SERVER4], EJABBERD)

    @contextlib.contextmanager
    def server_with(self, *pairs):
        text = EJABBERD
        for was, now in pairs:
            require(was in text, f"the configuration has no {was}")
            text = text.replace(was, now)
        self.stop()
        self.server.configure(text)
        self.start()
        yield
        self.stop()
        self.server.configure(EJABBERD)
        self.start()


class SetUpLab(DoctorLab):
    """Prosody with what "jingle-relayctl setup DOMAIN --turn" writes, and nothing else for TURN."""

    turn = "turn: {{ enabled = true; }};"

    def make_server(self):
        for name, text in (("prosody/prosody.cfg.lua", 'Include "conf.d/*.cfg.lua"\n'),
                           ("jingle-relayd/component-secret", SECRET),
                           ("jingle-relayd/jingle-relayd.conf", None)):
            path = f"{self.directory}/root/etc/{name}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if text:
                self.write(f"root/etc/{name}", text)
        for module in ("mod_jingle_relay.lua", "mod_delegation.lua"):
            os.makedirs(f"{self.directory}/root/usr/lib/prosody/modules", exist_ok=True)
            self.write(f"root/usr/lib/prosody/modules/{module}", "")
        subprocess.run([f"{self.programs}/jingle-relayctl", "setup", DOMAIN, "--turn", "--root",
                        f"{self.directory}/root"], check=True, stdout=subprocess.DEVNULL)
        made = f"{self.directory}/root/etc/prosody/conf.d/jingle-relay.cfg.lua"
        with open(made, encoding="utf-8") as file:
            return Prosody(self.network, self.directory, [SERVER4], file.read())


class BothFamilies(DoctorLab):
    """An address of each family."""

    address6 = SERVER6

    def wire(self):
        self.network.host("srv", SERVER4, SERVER6)


class BehindNat(DoctorLab):
    """The server has a private address, and a NAT a public one for it alone."""

    bound4 = INSIDE4
    hairpin = True

    def wire(self):
        network = self.network
        network.nat("nat", SERVER4, "10.7.0")
        network.add("srv")
        network.join("srv", "nat", INSIDE4)
        # A kernel with br_netfilter would take what turns round at the LAN for bridged.
        network.run("nat", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", check=False,
                    stderr=subprocess.DEVNULL)
        network.run("nat", "nft", "-f", "-", input=ONE_TO_ONE.format(
            who="" if self.hairpin else 'iifname "pub"', outside=SERVER4, inside=INSIDE4,
            back=f'ip saddr {INSIDE4} oifname "lan" snat to {SERVER4};' if self.hairpin else ""
        ).encode())

    def make_server(self):
        server = super().make_server()
        server.address = "127.0.0.1"
        with open(server.config, encoding="utf-8") as file:
            text = file.read()
        with open(server.config, "w", encoding="utf-8") as file:
            file.write(text.replace(f'"{SERVER4}"', '"127.0.0.1"'))
        return server

    def start(self, joins=True):
        with open(self.daemon.config, encoding="utf-8") as file:
            text = file.read()
        if "advertise4" not in text:
            with open(self.daemon.config, "w", encoding="utf-8") as file:
                file.write(text.replace('address6 =', f'advertise4 = "{SERVER4}"; address6 =', 1))
        super().start(joins)


class NoHairpin(BehindNat):
    """A NAT that takes the public address for its own when it is used from inside."""

    hairpin = False


SCENARIOS = Scenarios(None)


def run(name, daemon, logs=None):
    function, options = SCENARIOS[name]
    with options["lab"](daemon, logs=logs) as lab:
        return function(lab)


def in_order(lab, echoes):
    """Nothing is wrong, and each transport of each family is tried."""
    status, findings = lab.doctor()
    bad = [f for f in findings if f["level"] in ("problem", "warning")]
    require(status == OK and not bad, f"in order, but: {bad}")
    back = [f for f in findings if f["check"] == "relayed echo" and "came back" in f["text"]]
    require(len(back) == echoes, f"echoes: {findings}")
    return {"findings": len(findings)}


EJABBERD_SETUPS = [
    ("the secret is another in ejabberd", another_secret,
     "component", "problem", "wrong secret", f'^ejabberd: hosts: {{ "{RELAY}": {{ password: '),
    ("ejabberd has no such component",
     lambda lab: lab.daemon_with((RELAY, "other.example.test"), joins=False),
     "component", "problem", "no component of that name", '^ejabberd: hosts: { "other.example'),
    ("nobody listens for components",
     lambda lab: lab.daemon_with(('server = "127.0.0.1";', 'server = "127.0.0.1"; port = 5348;'),
                                 joins=False),
     "component", "problem", "refused", "ejabberd: under listen: { port: 5348"),
    ("ejabberd without mod_jingle_relay",
     lambda lab: lab.server_with((f"  mod_jingle_relay:\n    component: {RELAY}\n", "")),
     "server module", "warning", "no mod_jingle_relay", "^ejabberd: ejabberdctl module_install"),
    ("neither mod_stun_disco nor a delegation",
     lambda lab: lab.server_with((EJABBERD[EJABBERD.index("  mod_stun_disco"):], "")),
     "services told", "warning", "empty list", "\nejabberd: without it: .*mod_delegation: "),
    ("`turns` without credentials",
     lambda lab: lab.server_with(("type: turns, transport: tcp",
                                  "type: turns, transport: tcp, restricted: false")),
     "services told", "problem", "turns:.* without username",
     "^ejabberd: mod_stun_disco: secret: .*no restricted: false"),
    ("another TURN secret in ejabberd",
     lambda lab: lab.server_with((TURN_SECRET, "lab-turn-secret-of-tomorrow")),
     "services told", "problem", "wrong TURN secret", "\nejabberd: mod_stun_disco: secret"),
    ("ejabberd keeps its services from us",
     lambda lab: lab.server_with(("    - allow: relay\n", "")),
     "services told", "warning", "cannot be checked", "^ejabberd: .*mod_stun_disco: {access"),
    ("ejabberd tells another TURN server",
     lambda lab: lab.server_with((f"{TURN_HOST}, port: 5349", "turn.example.net, port: 5349")),
     "services told", "warning", "not this server", f"\nejabberd: mod_stun_disco: .*{TURN_HOST}"),
]


@SCENARIOS.add(lab=EjabberdLab)
def doctor_ejabberd(lab):
    """In order, then broken in one thing each; nobody is told of Prosody."""
    in_order(lab, 3)
    found = try_all(lab, EJABBERD_SETUPS)
    with lab.server_with((TURN_SECRET, "lab-turn-secret-of-tomorrow")):
        told = [f for f in lab.doctor()[1] if "Prosody" in (f["change"] or "")]
        require(not told, f"lines for Prosody: {told}")
    return found


@SCENARIOS.add(lab=SetUpLab)
def doctor_after_setup(lab):
    """One command has made all that TURN needs: users are told of it, and no secret was copied."""
    return in_order(lab, 2)


@SCENARIOS.add(lab=BothFamilies)
def doctor_both_families(lab):
    """IPv4 and IPv6; a name that has not both, or an address that is another's."""
    in_order(lab, 6)
    return try_all(lab, [
        ("turn.host has no AAAA record", lambda lab: lab.names({TURN_HOST: SERVER4}),
         "DNS", "warning", "no AAAA record", f"{TURN_HOST}. AAAA {SERVER6}"),
        ("turn.host's AAAA record leads elsewhere",
         lambda lab: lab.names({TURN_HOST: f"{SERVER4} 2001:db8:9::9"}),
         "DNS", "problem", "2001:db8:9::9", f"{TURN_HOST}. AAAA {SERVER6}"),
        ("an IPv6 address that is not this machine's",
         lambda lab: lab.instead("jingle-relayd.conf", (SERVER6, "2001:db8:1::99")),
         "addresses", "problem", "no address of this machine", 'relay.address6 = "auto"'),
    ])


@SCENARIOS.add(lab=BehindNat)
def doctor_nat(lab):
    """A 1:1 NAT that leads back from inside: the public address is tried, and works."""
    result = in_order(lab, 3)
    try_all(lab, [
        ("the public address behind a NAT is not configured",
         lambda lab: lab.instead("jingle-relayd.conf", (f'advertise4 = "{SERVER4}"; ', "")),
         "addresses", "problem", "private address", "relay.advertise4"),
    ])
    return result


@SCENARIOS.add(lab=NoHairpin)
def doctor_nat_no_hairpin(lab):
    """A 1:1 NAT that does not: warnings that say so, and no problem."""
    status, findings = lab.doctor()
    bad = [f for f in findings if f["level"] in ("problem", "warning")]
    require(status == OK, f"in order, but: {bad}")
    require(bad and all(f["check"] == "relayed echo" and "hairpin" in f["text"] for f in bad),
            f"told: {bad}")
    require(wait_for("status", lab.daemon.is_up), "it does not run")
    return {"warnings": len(bad)}


def hosts_file(lab):
    """What an installer writes into /etc/hosts is not what DNS tells clients."""
    def said():
        findings = [f for f in lab.doctor()[1] if f["check"] == "DNS"]
        require(not any("advertise" in (f["change"] or "") for f in findings), f"{findings}")
        return findings[0]["level"], findings[0]["text"]

    with lab.names({TURN_HOST: "127.0.1.1"}):
        level, text = said()
        require(level == "skipped" and "is 127.0.1.1 on this machine" in text, text)
        with lab.dns(f"A={TURN_HOST}={SERVER4}"):
            level, text = said()
            require(level == "ok" and "leads here" in text, text)
        with lab.dns():
            level, text = said()
            require(level == "problem" and "not in the DNS" in text, text)


def shared_key(lab):
    """The key is root's and a group's, which the daemon has by SupplementaryGroups=."""
    with lab.run_by("prosody", group="games"):
        files = [f for f in lab.doctor()[1] if f["check"] == "files"]
        require([f["level"] for f in files] == ["ok"], f"the daemon can read the key: {files}")


@SCENARIOS.add(lab=DoctorLab)
def doctor_not_broken(lab):
    """What looks broken only, and is how installers and docs/OPERATING.md have it."""
    hosts_file(lab)
    shared_key(lab)
    return {}
