# SPDX-License-Identifier: ISC
"""Client "pidgin": Pidgin as Debian has it, on a desktop of its own. It calls when its D-Bus
interface tells it to, and hangs up when the window of its call is closed. It does not answer: no
interface but the mouse has a word for that.
"""

import os
import re
import sys
import threading

from gi.repository import Gio, GLib

from desktop import Desktop
from rpc import serve

ACCOUNT = """<?xml version='1.0' encoding='UTF-8' ?>
<account version='1.0'><account><protocol>prpl-jabber</protocol><name>{jid}</name>
<password>{password}</password>
<settings><setting name='connection_security' type='string'>require_tls</setting></settings>
<settings ui='gtk-gaim'><setting name='auto-login' type='bool'>1</setting></settings>
</account></account>
"""
AUDIO = 3  # PURPLE_MEDIA_AUDIO, to send and to receive
STANZA = re.compile(r"jabber: (Sending|Recv) \(.*?\): (.*)")  # in its log
OFFER = r"<jingle [^>]*action='session-initiate'[^>]* sid='([^']+)'"


class Pidgin:
    def __init__(self):
        self.desktop = Desktop().open()
        self.desktop.let_farstream_work()
        self.seen = []
        self.process = self.peer = None

    async def connect(self, user, domain, server, resource):
        os.mkdir(f"{self.desktop.home}/.purple")
        jid = f"{user}@{domain}/{resource}"
        with open(f"{self.desktop.home}/.purple/accounts.xml", "w", encoding="utf-8") as file:
            file.write(ACCOUNT.format(jid=jid, password=f"{user}-pw"))
        reader, writer = os.pipe()
        self.process = self.desktop.run("pidgin", "-d", stdout=writer, stderr=writer)
        os.close(writer)
        threading.Thread(target=self._read, args=(reader,), daemon=True).start()
        await self.desktop.wait_for("Pidgin is online", lambda: self._find("in", "<presence"))
        return {"jid": jid}

    async def answer(self, kinds=None):
        """It never is."""

    async def call(self, to, kinds):
        self.desktop.counter.reset()
        self.peer = to.split("/")[0]
        account = self._ask("PurpleAccountsGetAllActive")[0]
        await self.desktop.wait_for("Pidgin knows that it can call", lambda: self._ask(
            "PurplePrplGetMediaCaps", "(is)", account, to), 10)
        self._ask("PurplePrplInitiateMedia", "(isi)", account, to, AUDIO)
        sid = await self.desktop.wait_for("Pidgin calls", lambda: self._find("out", OFFER))
        return {"sid": sid}

    async def stats(self):
        over = self._find("in", "(session-terminate)") or self._find("out", "(session-terminate)")
        return {**self.desktop.stats(), "ended": over}

    async def stanzas(self):
        return self.seen

    async def hangup(self):
        window = self.desktop.xdotool("search", "--onlyvisible", "--name", f"^{self.peer}$")[-1]
        self.desktop.xdotool("windowactivate", "--sync", window)
        self.desktop.xdotool("key", "alt+F4")

    async def picture(self, path):
        self.desktop.picture(path)

    async def disconnect(self):
        self.desktop.end(self.process)

    # --- its program ---

    def _read(self, reader):
        with open(reader, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                print(line, end="", file=sys.stderr, flush=True)
                if stanza := STANZA.search(line):
                    self.seen.append(["in" if stanza[1] == "Recv" else "out", stanza[2]])

    def _find(self, direction, pattern):
        """What the pattern found in the last such stanza: its group, or all of it."""
        for way, stanza in reversed(self.seen):
            if way == direction and (found := re.search(pattern, stanza)):
                return found[found.re.groups]
        return None

    def _ask(self, method, signature="()", *arguments):
        bus = Gio.bus_get_sync(Gio.BusType.SESSION)
        answer = bus.call_sync(
            "im.pidgin.purple.PurpleService", "/im/pidgin/purple/PurpleObject",
            "im.pidgin.purple.PurpleInterface", method, GLib.Variant(signature, arguments), None,
            Gio.DBusCallFlags.NONE, 5000).unpack()
        return answer[0] if answer else None


if __name__ == "__main__":
    serve(Pidgin())
