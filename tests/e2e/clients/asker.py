# SPDX-License-Identifier: ISC
"""Client "asker": sends any IQ, hands over the answer as it came, and takes pushes of services
(XEP-0215 section 3.2)."""

import xml.etree.ElementTree as ET

from slixmpp.exceptions import IqError
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from rpc import serve
from xmpp import JingleUser

SERVICES = "urn:xmpp:extdisco:2"


class Asker(JingleUser):
    async def connect(self, **where):
        joined = await super().connect(**where)
        self.pushed = []
        self.xmpp.register_handler(Callback(
            "push", MatchXPath(f"{{jabber:client}}iq/{{{SERVICES}}}services"), self._push))
        return joined

    def _push(self, iq):
        if iq["type"] == "set":
            self.pushed.append({"from": iq["from"].full, "iq": str(iq)})
            iq.reply(clear=True).send()

    async def presence(self, to):
        """Says to somebody that we are here: no pushes come without (XEP-0215 section 3.2)."""
        self.xmpp.send_presence(pto=to)

    async def pushes(self):
        return self.pushed

    async def query(self, payload, to=None):
        """An IQ get; without 'to' to the own account. Gives {"from", "type", "xml"} of the answer."""
        iq = self.xmpp.make_iq_get(ito=to)
        iq.append(ET.fromstring(payload))
        try:
            answer = await iq.send(timeout=20)
        except IqError as error:
            answer = error.iq
        return {"from": answer["from"].full, "type": answer["type"], "xml": str(answer)}


if __name__ == "__main__":
    serve(Asker())
