# SPDX-License-Identifier: ISC
"""Network namespaces, NATs and the processes inside them.

"net" is the internet: a bridge with documentation addresses (RFC 5737, RFC 3849), whose gateway
swallows what nobody owns. Hosts hang on it; a NAT has one leg on it and a LAN, itself a bridge, on
the other side. Names carry a prefix of their own per run, so runs do not meet. Whatever was made or
started here is removed by close(), and nothing else is.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import threading
import time

GATEWAY4 = "203.0.113.1"
CLONE_NEWNET = 0x40000000

# Symmetric-like: the port on the outside depends on the destination, and nobody gets in uninvited.
NAT_RULES = """
table ip lab {
  chain out { type nat hook postrouting priority 100; oifname "pub" masquerade random,fully-random; }
  chain through { type filter hook forward priority 0; policy drop;
    iifname "lan" accept; ct state established,related accept; }
  chain in { type filter hook input priority 0; policy accept;
    iifname "pub" ct state established,related accept; iifname "pub" drop; }
}
table ip6 lab {
  chain through { type filter hook forward priority 0; policy drop;
    iifname "lan" accept; ct state established,related accept; }
}
"""


class Network:
    """Owns namespaces and processes; a context manager."""

    def __init__(self, directory):
        self.directory = directory  # for the logs of processes
        self.prefix = f"jr{os.getpid()}"
        self.names = []
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def namespace(self, name):
        return f"{self.prefix}-{name}"

    def ip(self, name, *words):
        subprocess.run(["ip", "-n", self.namespace(name), *words], check=True)

    def sysctl(self, name, *settings):
        self.run(name, "sysctl", "-qw", *settings)

    def run(self, name, *argv, **options):
        """Runs a command inside and waits for it."""
        argv = ["ip", "netns", "exec", self.namespace(name), *argv]
        return subprocess.run(argv, **{"check": True, **options})

    def start(self, name, *argv, log, **options):
        """Starts a process inside, the leader of a process group; its stderr goes to LOG.log."""
        with open(f"{self.directory}/{log}.log", "ab") as err:
            options.setdefault("stdout", err)
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace(name), *argv],
                stderr=err, start_new_session=True, **options)
        self.processes.append(process)
        return process

    def stop(self, process, how=signal.SIGTERM, patience=5):
        """Ends a process and its group; returns its exit status."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process in self.processes:
            self.processes.remove(process)
        return process.wait()

    def close(self):
        for process in reversed(self.processes[:]):
            self.stop(process, patience=2)
        for name in self.names:
            pids = subprocess.run(["ip", "netns", "pids", self.namespace(name)],
                                  capture_output=True, text=True).stdout.split()
            for pid in pids:  # what our processes left behind in our own namespace
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", self.namespace(name)])
            shutil.rmtree(f"/etc/netns/{self.namespace(name)}", ignore_errors=True)
        with contextlib.suppress(OSError):  # others may have something there
            os.rmdir("/etc/netns")
        self.names = []

    # --- the topology ---

    def know(self, hosts):
        """Host names {name: "address address"} for all that is started from now on; these, and no
        others."""
        lines = "".join(f"{address} {name}\n" for name, all_ in
                        {"localhost": "127.0.0.1", **hosts}.items() for address in all_.split())
        for name in self.names:
            directory = f"/etc/netns/{self.namespace(name)}"  # see ip-netns(8)
            os.makedirs(directory, exist_ok=True)
            with open(f"{directory}/hosts", "w", encoding="ascii") as file:
                file.write(lines)
            with open(f"{directory}/resolv.conf", "w", encoding="ascii") as file:
                file.write("nameserver 127.0.0.1\n")  # where nobody is, so that it refuses at once

    def add(self, name, ipv6=False):
        subprocess.run(["ip", "netns", "add", self.namespace(name)], check=True)
        self.names.append(name)
        self.ip(name, "link", "set", "lo", "up")
        if not ipv6:
            self.sysctl(name, "net.ipv6.conf.all.disable_ipv6=1",
                        "net.ipv6.conf.default.disable_ipv6=1")

    def bridge(self, name, device):
        self.ip(name, "link", "add", device, "type", "bridge")
        self.ip(name, "link", "set", device, "up")

    def plug(self, name, device, into, bridge, *addresses):
        """Connects NAME by DEVICE to a BRIDGE of INTO, with addresses ADDRESS/LENGTH."""
        port = f"p{self.names.index(name)}{device}"
        self.ip(into, "link", "add", port, "type", "veth", "peer", "name", device,
                "netns", self.namespace(name))
        self.ip(into, "link", "set", port, "master", bridge, "up")
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            self.ip(name, "addr", "add", address, "dev", device, *nodad)
        self.ip(name, "link", "set", device, "up")

    def internet(self):
        self.add("net", ipv6=True)
        self.bridge("net", "br0")
        self.ip("net", "addr", "add", f"{GATEWAY4}/24", "dev", "br0")
        self.sysctl("net", "net.ipv4.ip_forward=0")

    def host(self, name, address4, address6=None):
        self.add(name, ipv6=bool(address6))
        addresses = [f"{address4}/24"] + ([f"{address6}/64"] if address6 else [])
        self.plug(name, "eth0", "net", "br0", *addresses)
        self.ip(name, "route", "add", "default", "via", GATEWAY4)

    def nat(self, name, address4, lan4, address6=None, lan6=None, by="srv"):
        """A NAT (IPv4) or stateful firewall (IPv6) with a LAN; LAN prefixes without their last part."""
        self.add(name, ipv6=bool(address6))
        addresses = [f"{address4}/24"] + ([f"{address6}/64"] if address6 else [])
        self.plug(name, "pub", "net", "br0", *addresses)
        self.ip(name, "route", "add", "default", "via", GATEWAY4)
        self.bridge(name, "lan")
        self.ip(name, "addr", "add", f"{lan4}.1/24", "dev", "lan")
        # Forged or stray source addresses go nowhere (RFC 2827).
        self.sysctl(name, "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=1")
        self.run(name, "nft", "-f", "-", input=NAT_RULES.encode())
        if lan6:
            self.ip(name, "addr", "add", f"{lan6}::1/64", "dev", "lan", "nodad")
            self.sysctl(name, "net.ipv6.conf.all.forwarding=1")
            self.ip(by, "-6", "route", "add", f"{lan6}::/64", "via", address6)

    def join(self, name, nat, address, device="eth0", table=None):
        """Puts host NAME on the LAN of a NAT. A second uplink gets a routing TABLE, so that what is
        sent from its address leaves by it; it also has a default route, for when the first is gone."""
        length, family = (64, "-6") if ":" in address else (24, "-4")
        router = address.rsplit(":" if family == "-6" else ".", 1)[0]
        router += ":1" if family == "-6" else ".1"
        self.plug(name, device, nat, "lan", f"{address}/{length}")
        metric = ["metric", str(table)] if table else []
        self.ip(name, family, "route", "add", "default", "via", router, "dev", device, *metric)
        if table:
            self.ip(name, family, "route", "add", "default", "via", router, "dev", device,
                    "table", str(table))
            self.ip(name, family, "rule", "add", "from", address, "table", str(table))

    def readdress(self, nat, old, new):
        """The NAT gets another public address and forgets its mappings (masquerade drops them with
        the address): what a modem's reconnection does."""
        self.ip(nat, "addr", "add", f"{new}/24", "dev", "pub")
        self.ip(nat, "addr", "del", f"{old}/24", "dev", "pub")
        self.ip(nat, "addr", "replace", f"{new}/24", "dev", "pub")
        self.ip(nat, "route", "replace", "default", "via", GATEWAY4)

    def inside(self, name, function):
        """Calls a function in a thread that lives in the namespace; returns what it returns."""
        box = {}

        def body():
            try:
                with open(f"/run/netns/{self.namespace(name)}") as handle:
                    if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                box["value"] = function()
            except Exception as error:  # handed to the caller
                box["error"] = error

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        if "error" in box:
            raise box["error"]
        return box["value"]


def wait_for(what, condition, seconds=10, pause=0.05):
    """Polls until the condition gives something true, which it returns."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(pause)
