# SPDX-License-Identifier: ISC
"""Client "gajim": Gajim as Debian has it, on a desktop of its own. gajim_inside.py runs in its
process and presses what its user would press.
"""

import asyncio
import json
import os
import subprocess
import sys

from desktop import Desktop
from rpc import serve

INSIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gajim_inside.py")


class Gajim:
    def __init__(self):
        self.desktop = Desktop().open()
        self.process = None
        self.lock = asyncio.Lock()

    # --- what the driver asks ---

    async def connect(self, user, domain, server, resource):
        self.desktop.let_farstream_work()
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, INSIDE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        await self._ask("sign_in", user=user, domain=domain, password=f"{user}-pw",
                        resource=resource)
        jid = f"{user}@{domain}/{resource}"
        while not await self._ask("is_online"):
            await asyncio.sleep(0.1)
        return {"jid": jid}

    async def answer(self, kinds=None):
        """It is always answered."""

    async def call(self, to, kinds):
        self.desktop.counter.reset()
        return {"sid": await self._ask("call", to=to, kinds=kinds)}

    async def stats(self):
        return {**self.desktop.stats(), **await self._ask("stats")}

    async def stanzas(self):
        return await self._ask("stanzas")

    async def hangup(self):
        await self._ask("hangup")

    async def picture(self, path):
        self.desktop.picture(path)

    async def disconnect(self):
        self.process.terminate()

    # --- its program ---

    async def _ask(self, do, **options):
        async with self.lock:
            self.process.stdin.write(json.dumps([do, options]).encode() + b"\n")
            line = await self.process.stdout.readline()
        answer = json.loads(line or '{"error": "Gajim ended"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]


if __name__ == "__main__":
    serve(Gajim())
