# SPDX-License-Identifier: ISC
"""Starts Gajim, unmodified, and does in its main loop what its user would do: makes the account,
calls, answers, hangs up. JSON lines on stdin ask, JSON lines on stdout answer.
"""

import json
import os
import sys
import traceback

import gi

for module, version in (("Gtk", "3.0"), ("Gdk", "3.0"), ("GtkSource", "4"), ("Gst", "1.0")):
    gi.require_version(module, version)

from gi.repository import Gio, GLib  # noqa: E402

ANSWERS = os.dup(1)  # what Gajim prints goes to stderr
os.dup2(2, 1)


class Hands:
    """The user's."""

    def __init__(self, app):
        self.app = app
        self.account = None
        self.sid = self.ended = None
        self.seen = []

    def _jingle(self):
        return self.app.get_client(self.account).get_module("Jingle")

    def _sessions(self):
        return list(self._jingle()._sessions.values())

    def sign_in(self, user, domain, password, resource):
        from gajim.common import passwords
        settings = self.app.settings
        settings.set("use_keyring", False)  # the desktop has none
        self.account = f"{user}@{domain}"
        self.app.app.create_account(self.account, user, domain, password, None, None)
        settings.set_account_setting(self.account, "savepass", True)
        settings.set_account_setting(self.account, "resource", resource)
        passwords.save_password(self.account, password)
        for event, hear in (("jingle-request-received", self._offered),
                            ("jingle-disconnected-received", self._over),
                            ("jingle-error-received", self._over)):
            self.app.ged.register_event_handler(event, 10, hear)
        self.app.app.enable_account(self.account)

    def is_online(self):
        client = self.app.get_client(self.account)
        if not client.state.is_available:
            return False
        if not self.seen:
            client.connection.subscribe("stanza-received", self._note("in"))
            client.connection.subscribe("stanza-sent", self._note("out"))
            self.seen.append(["", ""])
        return True

    def _note(self, direction):
        return lambda _client, _signal, stanza: self.seen.append([direction, str(stanza)])

    def call(self, to, kinds):
        self.ended = None
        start = self._jingle().start_audio_video if "video" in kinds else self._jingle().start_audio
        self.sid = start(to)
        return self.sid

    def _offered(self, event):
        self.sid, self.ended = event.sid, None
        GLib.timeout_add(300, self._accept)

    def _accept(self):
        for session in self._sessions():
            if session.weinitiate:
                continue
            session.approve_session()
            for kind in ("audio", "video"):
                if session.get_content(kind):
                    session.approve_content(kind)

    def _over(self, event):
        self.ended = str(getattr(event, "reason", None) or "end")

    def hangup(self):
        self.ended = "success"
        for session in self._sessions():
            session.end_session()

    def stats(self):
        return {"ended": self.ended}

    def stanzas(self):
        return self.seen[1:]


def listen(hands):
    """Asked from now on."""
    requests = Gio.DataInputStream.new(Gio.UnixInputStream.new(0, False))

    def got(stream, result):
        line, _ = stream.read_line_finish_utf8(result)
        if line is None:
            os._exit(0)
        name, options = json.loads(line)
        try:
            answer = {"result": getattr(hands, name)(**options)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        os.write(ANSWERS, json.dumps(answer, default=str).encode() + b"\n")
        requests.read_line_async(0, None, got)

    requests.read_line_async(0, None, got)


def when_ready():
    from gajim.common import app
    if not getattr(app, "app", None) or not getattr(app, "window", None):
        return True
    listen(Hands(app))
    return False


sys.argv = ["gajim"]
import gajim.gajim  # noqa: E402

GLib.timeout_add(200, when_ready)
gajim.gajim.main()
