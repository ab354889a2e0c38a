# SPDX-License-Identifier: ISC
"""Daemons one after another: by a manager that keeps their descriptors in between, and by taking
over from the one that runs."""

import os
import signal

from .daemon import Daemon
from .fdstore import FdStore
from .lab import Lab
from .network import wait_for


class ManagedDaemon(Daemon):
    """A daemon under a service manager with an fd store."""

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

    def restart(self):
        """What systemctl restart does."""
        old = self.process
        os.killpg(old.pid, signal.SIGTERM)
        self._leaves(old)
        if not self.store.kept:
            raise RuntimeError("the daemon left nothing")
        self.start()
        self.comes_up()

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

    def comes_up(self):
        wait_for("the next daemon's connection to the XMPP server", self.is_up, 20)

    def stop(self):
        """Not a restart: systemd would say so over D-Bus, here SIGINT does."""
        return self.network.stop(self.process, how=signal.SIGINT, patience=20)

    def close(self):
        if self.store:
            self.store.close()
        self.store = None


class SuccessionLab(Lab):
    """A lab whose daemon has a manager."""

    daemon_class = ManagedDaemon

    def close(self):
        daemon = getattr(self, "daemon", None)
        if daemon:
            daemon.close()
        super().close()
