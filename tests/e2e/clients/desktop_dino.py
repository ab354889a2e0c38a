# SPDX-License-Identifier: ISC
"""Client "dino": Dino as Debian has it, on a desktop of its own. It is told what to do as by its
user: by its notifications' buttons (D-Bus) and by the mouse; its own log of stanzas says what it
did. Audio only: there is no camera.
"""

import asyncio
import contextlib
import os
import re
import sqlite3
import sys
import threading

from gi.repository import Gio, GLib

from desktop import Desktop
from rpc import serve

HEADER = re.compile(r"XMPP (IN|OUT) \[")  # before each stanza, which a blank line ends
QUALIFIER = re.compile(r"\{[^}]*\}:?")
RINGING = """
  SELECT conversation.id, call.id FROM call
  JOIN conversation ON conversation.jid_id = call.counterpart_id
  WHERE call.direction = 0 AND call.id > ? ORDER BY call.id LIMIT 1
"""
WINDOW = (40, 100, 1200, 700)  # left, top, width, height
PHONE, AUDIO_CALL = (1018, 128), (1018, 176)  # on the screen, for that window
CALL_WINDOW = (0, 0, 704, 528)
HANG_UP = (420, 473)


class Dino:
    def __init__(self):
        self.desktop = Desktop().open()
        self.database = f"{self.desktop.home}/.local/share/dino/dino.db"
        self.seen = []  # [direction, stanza] without namespaces
        self.process = self.jid = self.sid = None
        self.since = 0  # where this call began among them

    # --- what the driver asks ---

    async def connect(self, user, domain, server, resource):
        self._make_database()
        with sqlite3.connect(self.database) as database:
            database.execute(
                "INSERT INTO account (bare_jid, resourcepart, password, alias, enabled)"
                " VALUES (?, ?, ?, ?, 1)", (f"{user}@{domain}", resource, f"{user}-pw", user))
        self._start()
        await self.desktop.wait_for("Dino is online", lambda: self._find("in", "<presence"), 30)
        self.jid = f"{user}@{domain}/{resource}"
        self.answering = asyncio.ensure_future(self._answer_all())
        return {"jid": self.jid}

    async def answer(self, kinds=None):
        """It is always answered."""

    async def call(self, to, kinds):
        self._begin()
        bare = to.split("/")[0]
        self._tell("org.freedesktop.Application", "Open", "(asa{sv})", [f"xmpp:{bare}?message"], {})
        await asyncio.sleep(1)
        self._window(0, *WINDOW)
        for _ in range(5):
            await self._click(PHONE)
            await self._click(AUDIO_CALL)
            with contextlib.suppress(TimeoutError):
                return {"sid": await self.desktop.wait_for("Dino calls", self._sid, 2)}
        raise TimeoutError("Dino offers no call")

    async def stats(self):
        return {**self.desktop.stats(), "ended": self._ended()}

    async def stanzas(self):
        return self.seen

    async def hangup(self):
        self._window(-1, *CALL_WINDOW)
        await self._click(HANG_UP)
        await self.desktop.wait_for("Dino hangs up", self._ended, 5)

    async def picture(self, path):
        self.desktop.picture(path)

    async def disconnect(self):
        self.desktop.end(self.process)

    # --- its program ---

    def _make_database(self):
        """Dino makes its database when it starts for the first time."""
        first = self.desktop.run("dino-im")
        self.desktop.until("Dino's database", self._has_accounts, 30)
        self.desktop.end(first)

    def _has_accounts(self):
        try:
            with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
                names = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
                return {"account", "call", "settings"} <= names
        except sqlite3.OperationalError:
            return False

    def _start(self):
        reader, writer = os.pipe()
        self.process = self.desktop.run("dino-im", "--print-xmpp=all", stdout=writer, stderr=writer)
        os.close(writer)
        threading.Thread(target=self._read, args=(reader,), daemon=True).start()

    def _read(self, reader):
        with open(reader, encoding="utf-8", errors="replace") as lines:
            direction, stanza = None, ""
            for line in lines:
                print(line, end="", file=sys.stderr, flush=True)
                if header := HEADER.match(line):
                    direction, stanza = header[1].lower(), ""
                elif direction and line.strip():
                    stanza += QUALIFIER.sub("", line)
                elif direction:
                    self.seen.append([direction, stanza])
                    direction = None

    def _find(self, direction, *texts):
        """The last such stanza of this call with all these texts."""
        for way, stanza in reversed(self.seen[self.since:]):
            if way == direction and all(text in stanza for text in texts):
                return stanza
        return None

    def _tell(self, interface, method, signature, *arguments):
        bus = Gio.bus_get_sync(Gio.BusType.SESSION)
        bus.call_sync("im.dino.Dino", "/im/dino/Dino", interface, method,
                      GLib.Variant(signature, arguments), None, Gio.DBusCallFlags.NONE, 5000)

    def _window(self, which, left, top, width, height):
        """Puts its first or last window where the mouse will find it."""
        window = self.desktop.xdotool("search", "--onlyvisible", "--name", "^Dino$")[which]
        self.desktop.xdotool("windowsize", window, width, height)
        self.desktop.xdotool("windowmove", window, left, top)
        self.desktop.xdotool("windowactivate", "--sync", window)

    async def _click(self, place):
        """As a hand does it: what is clicked has had the time to see the pointer come."""
        self.desktop.xdotool("mousemove", *place)
        await asyncio.sleep(0.3)
        self.desktop.xdotool("click", 1)
        await asyncio.sleep(0.7)

    def _begin(self):
        self.since, self.sid = len(self.seen), None
        self.desktop.counter.reset()

    def _sid(self):
        """That of the call which it has proposed (XEP-0353) or begun."""
        proposal = self._find("out", "<propose ")
        offer = self._find("out", "action='session-initiate'")
        found = proposal and re.search(r"<propose [^>]*id='([^']+)'", proposal) or \
            offer and re.search(r" sid='([^']+)'", offer)
        return found and found[1]

    # --- calls that come in ---

    async def _answer_all(self):
        """Presses the button of each notification of a call."""
        answered = 0
        while True:
            await asyncio.sleep(0.1)
            with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
                row = database.execute(RINGING, (answered,)).fetchone()
            if row:
                conversation, answered = row
                self._begin()
                self._tell("org.gtk.Actions", "Activate", "(sava{sv})", "accept-call",
                           [GLib.Variant("(ii)", (conversation, answered))], {})

    def _ended(self):
        for direction in ("in", "out"):
            if stanza := self._find(direction, "action='session-terminate'"):
                return re.search(r"<reason[^>]*>\s*<([\w-]+)", stanza)[1]
        return None


if __name__ == "__main__":
    serve(Dino())
