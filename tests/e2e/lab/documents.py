# SPDX-License-Identifier: ISC
"""The configuration that docs/OPERATING.md shows, as the tests load it.

A piece of the document that is run begins with the line "<!-- run: NAME -->", and is the indented
block after it. Names and secrets in it are replaced by those of the lab, and nothing else is.
"""

import os
import textwrap

from .servers import DOMAIN, SECRET

DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../docs/OPERATING.md")
TURN_HOST = f"turn.{DOMAIN}"
TURN_SECRET = "lab-turn-secret-of-32-characters"


def piece(name, directory, path=DOCUMENT):
    """The text of a piece, with the lab's DIRECTORY in place of those of an installed daemon."""
    with open(path, encoding="utf-8") as file:
        _, found, rest = file.read().partition(f"<!-- run: {name} -->\n")
    if not found:
        raise KeyError(f"{path} has no piece {name}")
    block = []
    for line in rest.lstrip("\n").splitlines():
        if line.strip() and not line.startswith("    "):
            break
        block.append(line)
    text = textwrap.dedent("\n".join(block)).strip() + "\n"
    for theirs, ours in (("example.org", DOMAIN), ("the text in component-secret", SECRET),
                         ("the text in turn-secret", TURN_SECRET),
                         ("/etc/jingle-relayd", directory)):
        text = text.replace(theirs, ours)
    return text
