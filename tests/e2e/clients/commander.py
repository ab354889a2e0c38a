# SPDX-License-Identifier: ISC
"""Client "commander": an administrator who finds commands (XEP-0050) and gives them, with the
library's own plugin, forms filled in (XEP-0004)."""

from slixmpp.exceptions import IqError

from rpc import serve
from xmpp import JingleUser

COMMANDS = "{http://jabber.org/protocol/commands}"
DATA = "{jabber:x:data}"


def _values(element):
    return {field.get("var"): [value.text or "" for value in field.findall(f"{DATA}value")]
            for field in element.findall(f"{DATA}field")}


def _told(iq):
    """What an answer says."""
    command = iq.xml.find(f"{COMMANDS}command")
    form = command.find(f"{DATA}x")
    return {
        "status": command.get("status"),
        "session": command.get("sessionid"),
        "notes": [[note.get("type"), note.text] for note in command.findall(f"{COMMANDS}note")],
        "form": None if form is None else form.get("type"),
        "values": {} if form is None else _values(form),
        "rows": [] if form is None else [_values(item) for item in form.findall(f"{DATA}item")],
    }


class Commander(JingleUser):
    async def connect(self, **where):
        joined = await super().connect(**where)
        for name in ("xep_0004", "xep_0050"):
            self.xmpp.register_plugin(name)
        return joined

    async def commands(self, to):
        """{name: help}, or the condition of the error."""
        try:
            found = await self.xmpp.plugin["xep_0050"].get_commands(to, timeout=20)
        except IqError as error:
            return error.condition
        return {node: name for _, node, name in found["disco_items"]["items"]}

    async def about(self, to):
        """The features and forms of disco#info."""
        info = await self.xmpp.plugin["xep_0030"].get_info(to, timeout=20)
        query = info["disco_info"].xml
        forms = [_values(form) for form in query.findall(f"{DATA}x")]
        return {"features": sorted(info["disco_info"]["features"]), "forms": forms}

    async def command(self, to, node, values=None, action="complete"):
        """Gives a command; fills in the form that is asked for, or cancels. An error is its
        condition."""
        plugin = self.xmpp.plugin["xep_0050"]
        try:
            answer = await plugin.send_command(to, node, timeout=20)
            if answer["command"]["status"] != "executing" or values is None:
                return _told(answer)
            form = self.xmpp.plugin["xep_0004"].make_form(ftype="submit")
            for name, value in values.items():
                form.add_field(var=name, value=value)
            answer = await plugin.send_command(
                to, node, payload=form.xml if action != "cancel" else None, action=action,
                sessionid=answer["command"]["sessionid"], timeout=20)
        except IqError as error:
            return {"error": error.condition}
        return _told(answer)


if __name__ == "__main__":
    serve(Commander())
