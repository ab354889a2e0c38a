# SPDX-License-Identifier: ISC
"""Makes a loopback TCP port of a namespace reachable from outside it, on loopback too."""

import contextlib
import socket
import threading


class Forwarder:
    """Listens on the same port outside, or on any free one when that is taken."""

    def __init__(self, network, name, port):
        self.connect = lambda: network.inside(
            name, lambda: socket.create_connection(("127.0.0.1", port), 5))
        try:
            self.listener = socket.create_server(("127.0.0.1", port))
        except OSError:
            self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def _serve(self):
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                outer, _ = self.listener.accept()
                try:
                    inner = self.connect()
                except OSError:
                    outer.close()
                    continue
                for pair in ((outer, inner), (inner, outer)):
                    threading.Thread(target=self._copy, args=pair, daemon=True).start()

    @staticmethod
    def _copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
