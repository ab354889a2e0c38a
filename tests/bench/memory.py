# SPDX-License-Identifier: ISC
"""How much memory a process takes, and the kernel on its behalf (sockets and what hangs on them)."""

import contextlib
import os


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def _own_groups():
    """Directories of our memory control group: that of version 1, that of version 2, the root."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if controllers == "memory":
                yield f"/sys/fs/cgroup/memory{path}"
            elif not controllers:
                yield f"/sys/fs/cgroup{path}"
    yield "/sys/fs/cgroup"


class KernelMemory:
    """A control group whose kernel memory the kernel counts; a context manager. Where there is no
    such group to be had, kib() is None."""

    def __init__(self):
        self.directory = None
        for parent in _own_groups():
            directory = f"{parent}/jingle-relayd-bench-{os.getpid()}"
            with contextlib.suppress(OSError):
                os.mkdir(directory)
                self.directory = directory
                if self.kib() is not None:
                    return
            self.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Its processes must have ended."""
        if self.directory:
            with contextlib.suppress(OSError):
                os.rmdir(self.directory)
            self.directory = None

    def add(self, pid):
        if self.directory:
            with open(f"{self.directory}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(pid))

    @contextlib.contextmanager
    def children(self):
        """What is started meanwhile is in the group from its beginning: the kernel's memory is
        charged to who made a thing, at that time."""
        if self.directory:
            self.add(os.getpid())
        try:
            yield
        finally:
            if self.directory:
                with open(f"{os.path.dirname(self.directory)}/cgroup.procs", "w",
                          encoding="ascii") as file:
                    file.write(str(os.getpid()))

    def kib(self):
        if not self.directory:
            return None
        with contextlib.suppress(FileNotFoundError):  # version 1
            with open(f"{self.directory}/memory.kmem.usage_in_bytes", encoding="ascii") as file:
                return int(file.read()) / 1024
        with contextlib.suppress(FileNotFoundError):  # version 2
            with open(f"{self.directory}/memory.stat", encoding="ascii") as file:
                for line in file:
                    name, value = line.split()
                    if name == "kernel":
                        return int(value) / 1024
        return None
