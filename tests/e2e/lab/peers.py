# SPDX-License-Identifier: ISC
"""A call without XMPP between two WebRTC stacks, each of which may use a TURN server only."""

import time

from .call import Call
from .lab import SERVER4
from .network import wait_for
from .turn import PLAIN, TLS, credential

URLS = {"udp": f"turn:{SERVER4}:{PLAIN}?transport=udp", "tcp": f"turn:{SERVER4}:{PLAIN}?transport=tcp",
        "tls": f"turns:{SERVER4}:{TLS}?transport=tcp"}


class PeerCall(Call):
    """a, b: (kind of client, transport to the relay)."""

    def __init__(self, lab, a, b, kinds):
        super().__init__(lab, f"peer-{a[0]}", f"peer-{b[0]}", kinds)
        self.ways = a[1], b[1]

    def place(self, seconds=20, **_):
        start = time.monotonic()
        options = [{"url": URLS[way], "kinds": self.kinds, **credential(client.user)}
                   for client, way in zip(self.both, self.ways)]
        offer = self.alice.ask("offer", **options[0])
        answer = self.bob.ask("answer", description=offer, **options[1])
        self.alice.ask("accept", description=answer)
        wait_for("media at both sides", self._all_flow, seconds)
        self.setup_ms = round((time.monotonic() - start) * 1000)
        return self
