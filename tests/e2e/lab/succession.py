# SPDX-License-Identifier: ISC
"""Daemons one after another: by a manager that keeps their descriptors in between, and by taking
over from the one that runs."""

import os
import re
import signal

from .daemon import STATS_PORT, Daemon
from .fdstore import FdStore
from .lab import Lab
from .network import wait_for
from .turn import TurnLab


class ManagedDaemon(Daemon):
    """A daemon under a service manager with an fd store."""

    joins = True  # an XMPP server

    def __init__(self, network, directory, *arguments, **options):
        super().__init__(network, directory, *arguments, **options)
        self.store = FdStore(directory)

    def start(self, *arguments):
        argv, options = self.store.command(self.program, "--config", self.config, *arguments)
        self.process = self.network.start("srv", *argv, log="jingle-relayd", **options)

    def _leaves(self, process):
        """Waits for the end of the process, which has to be an orderly one."""
        status = process.wait(20)
        self.network.stop(process)
        if status != 0:
            raise RuntimeError(f"the daemon ended with status {status}")

    def set_workers(self, count):
        """relay.workers from the next start on."""
        with open(self.config, encoding="utf-8") as file:
            text = re.sub(r"relay: \{( workers = \d+;)?", f"relay: {{ workers = {count};", file.read())
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)

    def workers(self):
        """How many there are."""
        return len([name for name in self.metrics() if name.startswith("worker_busy_seconds")])

    def _ends_for_the_next(self):
        old = self.process
        os.killpg(old.pid, signal.SIGTERM)
        self._leaves(old)
        if not self.store.kept:
            raise RuntimeError("the daemon left nothing")

    def restart(self):
        """What systemctl restart does."""
        self._ends_for_the_next()
        self.start()
        self.comes_up()
        wait_for("nothing to be kept any more", lambda: not self.store.kept, 20)

    def restart_of_a_newer_version(self):
        """A downgrade by more than one release: what was left is of a version that is not known."""
        self._ends_for_the_next()
        for fd in [fd for name, fd in self.store.kept if name == "i"]:
            image = os.pread(fd, os.fstat(fd).st_size, 0)
            os.pwrite(fd, image.replace(b'{"v":1,', b'{"v":9,'), 0)
        self.start()
        self.comes_up()
        wait_for("nothing to be kept any more", lambda: not self.store.kept, 20)

    def restart_fails(self):
        """Two starts fail, late and early, before the operator has mended the configuration."""
        self._ends_for_the_next()
        left = list(self.store.kept)
        self._start_fails(self._that_cannot_listen())
        self._start_fails("no configuration")
        self.store.catch_up()
        if self.store.kept != left:
            raise RuntimeError("a start that failed took something away")
        self.start()
        self.comes_up()
        wait_for("nothing to be kept any more", lambda: not self.store.kept, 20)

    def take_over(self, *arguments):
        """A second daemon takes over from the one that runs."""
        old = self.process
        self.start("--take-over", *arguments)
        self._leaves(old)
        self.comes_up()

    def killed(self):
        """kill -9, and a new one."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.network.stop(self.process)
        self.start()
        self.comes_up()

    def take_over_fails(self):
        """A successor that cannot start, since it cannot listen where its figures are to be."""
        self._start_fails(self._that_cannot_listen(), "--take-over")
        self.comes_up()

    def _that_cannot_listen(self):
        with open(self.config, encoding="utf-8") as file:
            return file.read().replace(f"127.0.0.1:{STATS_PORT}",
                                       f"192.0.2.1:{STATS_PORT}")  # is not ours

    def _start_fails(self, text, *arguments):
        """One start with this text for a configuration."""
        config = f"{self.config}.wrong"
        with open(config, "w", encoding="utf-8") as file:
            file.write(text)
        argv, options = self.store.command(self.program, "--config", config, *arguments)
        process = self.network.start("srv", *argv, log="jingle-relayd-wrong", **options)
        status = process.wait(20)
        self.network.stop(process)
        if status != 1:
            raise RuntimeError(f"the wrong successor ended with status {status}")

    def comes_up(self):
        wait_for("the next daemon", self.is_up if self.joins else self.answers, 20)

    def answers(self):
        return self.get("/metrics")[0] == 200

    def stop(self):
        """Not a restart: systemd would say so over D-Bus, here SIGINT does."""
        return self.network.stop(self.process, how=signal.SIGINT, patience=20)

    def close(self):
        if self.store:
            self.store.close()
        self.store = None


class AloneDaemon(ManagedDaemon):
    joins = False


class SuccessionLab(Lab):
    """A lab whose daemon has a manager."""

    daemon_class = ManagedDaemon

    def close(self):
        daemon = getattr(self, "daemon", None)
        if daemon:
            daemon.close()
        super().close()


class TurnSuccessionLab(TurnLab):
    """The same for TURN."""

    daemon_class = AloneDaemon

    def close(self):
        daemon = getattr(self, "daemon", None)
        if daemon:
            daemon.close()
        super().close()
