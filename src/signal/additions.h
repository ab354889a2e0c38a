// SPDX-License-Identifier: ISC
// What the relay has added to a diverted stanza (docs/DIVERT.md section 3). Mostly that is a
// candidate or two at the end of a transport, and a server that has to read the whole stanza again
// for their sake pays for it: one that asks for it gets only what is new, each with its place.
#pragma once

#include "codec/xml.h"

// Is 'copy' the original, or that with elements added behind the children of some below its top?
bool additions_suffice(const struct xml *original, const struct xml *copy);
// Then: moves what was added from the copy to 'divert'. Returns 0 or -ENOMEM.
int additions_move(const struct xml *original, struct xml *copy, struct xml *divert);
