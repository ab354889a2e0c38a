# SPDX-License-Identifier: ISC
"""A real systemd, which manages the daemon by the project's own unit file.

It is the first process of namespaces of its own, on a host of the lab; its disk is this machine's
under an empty layer (boot_systemd). A machine that has not what it takes, or refuses the namespaces
or mounts, raises CannotBoot; a systemd that does not come up is a failure.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile

from .daemon import Daemon
from .network import wait_for
from .scenarios import Skipped
from .servers import SECRET

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
UNIT = "jingle-relayd.service"
INSTALLED = {"jingle-relayd.service": f"systemd/system/{UNIT}",
             "jingle-relayd.catalog": "systemd/catalog/jingle-relayd.catalog",
             "jingle-relayd.sysusers": "sysusers.d/jingle-relayd.conf"}
# For a sanitized build alone, others do not know it: the look for leaks at the end traces the
# process, which the unit's system call filter forbids.
SANITIZED = {"sanitizer": "[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n"}


PROGRAMS = ("/lib/systemd/systemd", "mount", "unshare", "nsenter")
# What the commands before systemd say, of boot() and boot_systemd, when they may not do it.
REFUSED = re.compile(r"^(sh|unshare|mount|umount|pivot_root): .*(not permitted|Permission denied|"
                     "unknown filesystem type)", re.MULTILINE)


class CannotBoot(Skipped):
    """This machine has no systemd, or does not let one start."""


def _done(what, *argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBoot(f"systemd cannot be started here: {what}: {done.stderr.strip()}")


class ControlGroup:
    """A control group for a machine; what it leaves in there is removed by close()."""

    def __init__(self, name):
        self.mount = tempfile.mkdtemp(prefix="jingle-relayd-cgroup-")
        self.path = f"{self.mount}/{name}"
        try:
            _done("cgroup2", "mount", "-t", "cgroup2", "cgroup2", self.mount)
            os.mkdir(self.path)
        except BaseException:
            self.close()
            raise

    def close(self):
        for folder, _, _ in os.walk(self.path, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        subprocess.run(["umount", self.mount], stderr=subprocess.DEVNULL, check=False)
        os.rmdir(self.mount)


class Machine:
    """A host of the lab under systemd. Files are written before boot(), or into the running one.
    prefix: of the command that starts it."""

    def __init__(self, network, directory, host="srv", prefix=()):
        self.network, self.host, self.prefix = network, host, prefix
        self.base = f"{directory}/machine"
        for name in ("files", "layer", "root"):
            os.makedirs(f"{self.base}/{name}")
        os.chmod(f"{self.base}/files", 0o755)
        self.process = self.pid = self.group = None

    def path(self, name):
        """Of a file of the machine."""
        return f"/proc/{self.pid}/root{name}" if self.pid else f"{self.base}/files{name}"

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
        os.rename(f"{path}.new", path)

    def put(self, source, name):
        """Copies a program or another file of this machine into it."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copy(source, f"{path}.new")
        os.rename(f"{path}.new", path)

    def boot(self):
        for program in PROGRAMS:
            if not shutil.which(program):
                raise CannotBoot(f"there is no {program} here")
        self.group = ControlGroup(self.network.namespace(self.host))
        # The shell joins the group first, so that it is the root of the machine's own.
        start = (f'echo $$ >"{self.group.path}/cgroup.procs" && exec unshare --mount --uts --ipc '
                 f'--cgroup --pid --fork --kill-child "{HERE}/boot_systemd" "{self.base}"')
        self.process = self.network.start(self.host, *self.prefix, "sh", "-c", start, log="systemd")
        try:
            wait_for("systemd", self._is_booted, 120)
        except (TimeoutError, ProcessLookupError) as error:
            with open(f"{os.path.dirname(self.base)}/systemd.log", encoding="utf-8") as file:
                log = file.read()
            why = f"systemd cannot be started here: {error}: {log[-500:].strip()}"
            if isinstance(error, ProcessLookupError) and REFUSED.search(log):
                raise CannotBoot(why) from error
            raise RuntimeError(why) from error

    def _is_booted(self):
        if self.process.poll() is not None:
            raise ProcessLookupError("it has ended")
        with contextlib.suppress(FileNotFoundError):  # it ends
            if not self.pid:
                with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children",
                          encoding="ascii") as file:
                    self.pid = next(iter(file.read().split()), None)
            return (self.pid and self._is_systemd() and
                    self.run("systemctl", "is-active", "basic.target",
                             check=False).stdout.strip() == "active")
        return False

    def _is_systemd(self):
        """And not the shell still, which sees this machine's."""
        with open(f"/proc/{self.pid}/comm", encoding="utf-8") as file:
            return file.read().strip() == "systemd"

    def run(self, *argv, check=True, timeout=120, **options):
        """Runs a command inside; returns what subprocess.run() does, with its output."""
        done = subprocess.run(
            ["nsenter", "--all", f"--target={self.pid}", "--wd=/", *argv], text=True, check=False,
            timeout=timeout, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL, **options)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: status {done.returncode}: {done.stderr.strip()}")
        return done

    def systemctl(self, *words, **options):
        return self.run("systemctl", *words, **options).stdout.strip()

    def property(self, name, unit=UNIT):
        return self.systemctl("show", "--value", "-p", name, unit)

    def journal(self, *words, unit=UNIT):
        """The records of the unit, as dictionaries."""
        text = self.run("journalctl", "-u", unit, "-o", "json", "--all", *words).stdout
        return [json.loads(line) for line in text.splitlines()]

    def save_journal(self, path):
        if self.pid:
            with open(path, "w", encoding="utf-8") as file:
                file.write(self.run("journalctl", check=False).stdout)

    def close(self):
        try:
            if self.process:
                # It cannot be asked: SIGTERM makes systemd start anew. Its end takes all of it
                # along.
                self.network.stop(self.process, how=signal.SIGKILL)
            if self.pid:
                wait_for("the machine's end", lambda: not os.path.exists(f"/proc/{self.pid}"), 10)
        finally:
            if self.group:
                self.group.close()
            self.process = self.pid = self.group = None


def configure(machine, config, secret, dropins=None):
    """Writes the configuration, without what the unit has places of its own for, and the secret.
    dropins: more of the unit, {name: text}."""
    lines = [line for line in config.splitlines()
             if not any(word in line for word in ("secret_file =", "control:", "log:"))]
    machine.write("/etc/jingle-relayd/jingle-relayd.conf", "\n".join(lines) + "\n")
    machine.write("/etc/jingle-relayd/component-secret", secret, mode=0o600)
    for name, words in {**SANITIZED, **(dropins or {})}.items():
        machine.write(f"/etc/systemd/system/{UNIT}.d/{name}.conf", words)


def install(machine, config, secret, program, dropins=None):
    """The same, and the daemon, its tool and the project's own unit."""
    configure(machine, config, secret, dropins)
    machine.put(program, "/usr/sbin/jingle-relayd")
    machine.put(f"{os.path.dirname(program)}/jingle-relayctl", "/usr/bin/jingle-relayctl")
    for source, place in INSTALLED.items():
        machine.put(f"{ROOT}/systemd/{source}", f"/usr/lib/{place}")


class ServiceDaemon(Daemon):
    """The daemon as the unit of a machine, with the configuration and the secrets where the unit has
    them. dropins: more of the unit, {name: text}; sysusers: as the package, with a user that is known
    while the daemon does not run, too."""

    def __init__(self, network, directory, program, *, machine, dropins=None, sysusers=False,
                 **options):
        super().__init__(network, directory, program, **options)
        self.machine, self.sysusers = machine, sysusers
        with open(self.config, encoding="utf-8") as file:
            install(machine, file.read(), SECRET, program, dropins)

    def start(self, *_):
        if not self.machine.process:
            self.machine.boot()
            self.machine.run("journalctl", "--update-catalog")
            if self.sysusers:
                self.machine.run("systemd-sysusers", "jingle-relayd.conf")
        self.process = self.machine.process
        self.machine.systemctl("start", UNIT)

    def restart(self):
        self.machine.systemctl("restart", UNIT)
        wait_for("the next daemon", self.is_up, 20)

    def main_pid(self):
        return int(self.machine.property("MainPID"))

    def stop(self):
        """systemctl stop; the exit status that systemd has seen."""
        self.machine.systemctl("stop", UNIT)
        return int(self.machine.property("ExecMainStatus"))
