# SPDX-License-Identifier: ISC
"""coturn's turnutils_uclient, many at a time: each takes some seconds, mostly of waiting."""

import re
import subprocess

from .call import require
from .turn import PEER_PORT, PLAIN, SECRET, TLS

TOTAL = re.compile(rb"start_mclient: tot_send_msgs=(\d+), tot_recv_msgs=(\d+)")
MESSAGES = 30


class Uclient:
    """Starts one. 'peer' None: two clients of the program talk to each other."""

    def __init__(self, lab, name, *flags, server, peer, login=("-u", "alice", "-W", SECRET)):
        port = TLS if "-S" in flags else PLAIN
        towards = ["-e", peer, "-r", str(PEER_PORT)] if peer else ["-y"]
        self.name = name
        self.process = lab.network.start(
            "alice", "turnutils_uclient", *flags, "-p", str(port), "-n", str(MESSAGES), "-l", "170",
            *login, *towards, server, log=f"uclient-{name}", stdout=subprocess.PIPE)

    def finish(self, seconds=30):
        """Requires that all was received that was sent; returns how many messages."""
        output, _ = self.process.communicate(timeout=seconds)
        totals = TOTAL.findall(output)
        require(self.process.returncode == 0 and totals,
                f"uclient {self.name}: status {self.process.returncode}, {output[-300:]}")
        sent, received = map(int, totals[-1])
        require(sent == received >= MESSAGES, f"uclient {self.name}: {received} of {sent} received")
        return sent
