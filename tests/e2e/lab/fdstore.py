# SPDX-License-Identifier: ISC
"""A service manager with an fd store, as systemd has one, for one service: it keeps what the service
stores (sd_notify(3), FDSTORE=1) and gives it to the next process, the last first."""

import os
import socket
import sys
import threading

FDEXEC = f"{os.path.dirname(os.path.abspath(__file__))}/fdexec.py"
DESCRIPTORS_MAX = 253  # of one message
ROOM = 16384


class FdStore:
    """Listens until close(). 'kept' are (name, descriptor), in the order in which they came."""

    def __init__(self, directory):
        self.path = f"{directory}/notify"
        self.kept = []
        self.told = []  # every message, for whoever wants to look
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        while True:
            data, fds, _, _ = socket.recv_fds(self.socket, 4096, DESCRIPTORS_MAX)
            lines = data.decode().splitlines()
            if "CLOSE=1" in lines:
                return
            self.told.append(lines)
            self._take(dict(line.split("=", 1) for line in lines if "=" in line), fds)

    def _take(self, message, fds):
        name = message.get("FDNAME", "stored")
        if message.get("FDSTORE") == "1":
            room = ROOM - len(self.kept)
            self.kept += [(name, fd) for fd in fds[:room]]
            fds = fds[room:]
        elif message.get("FDSTOREREMOVE") == "1":
            fds = [fd for known, fd in self.kept if known == name]
            self.kept = [(known, fd) for known, fd in self.kept if known != name]
        for fd in fds:  # those of BARRIER=1 as well: that is its answer
            os.close(fd)

    def catch_up(self):
        """Returns when all that was sent before has been read (BARRIER=1 of sd_notify(3))."""
        ours, theirs = os.pipe()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
                end.connect(self.path)
                socket.send_fds(end, [b"BARRIER=1"], [theirs])
        finally:
            os.close(theirs)
        with open(ours, "rb") as file:
            file.read()

    def environment(self):
        return {**os.environ, "NOTIFY_SOCKET": self.path, "FDSTORE": str(ROOM)}

    def command(self, *argv):
        """What to start for that command to get what is kept, and the options of Popen() for it."""
        options = {"env": self.environment()}
        if self.kept:
            kept = self.kept[::-1]
            names, fds = zip(*kept)
            argv = (sys.executable, "-E", "-S", FDEXEC, ":".join(names),
                    ",".join(map(str, fds)), *argv)
            options["pass_fds"] = fds
        return argv, options

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"CLOSE=1", self.path)
        self.thread.join()
        self.socket.close()
        for _, fd in self.kept:
            os.close(fd)
        self.kept = []
