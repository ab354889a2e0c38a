// SPDX-License-Identifier: ISC
// What libstrophe asks of expat passes by here first, as the executable's symbols go before those
// of libraries: it neither lets us at its parser nor knows what a component has to fear. A user of
// the XMPP server shapes each stanza, but for the "from" that the server vouches for.
//
// - Attributes with a prefix are left out, but for xml:lang. libstrophe cuts the namespace off, so
//   that a user's "p:from" would become the stanza's "from", and he anybody.
// - Elements beyond those that component_stanza_convert() takes are left out, and of an element's
//   attributes. libstrophe appends a child by walking over all of its siblings: 65,000 of them, in
//   256 KiB, would keep it busy for 8 s.
// - Incomplete tags are not put off. Since 2.6, and in the security updates of older versions
//   (CVE-2023-52425), expat waits until twice as much of one has arrived. For a stream of stanzas
//   that is fatal: one whose last tag is cut early by the end of a read would stay in the parser
//   until the server happens to send something else.
// - What it keeps is counted: every name of an element or attribute that it ever saw, until it is
//   reset for a new connection.
#pragma once

#include <stddef.h>

// A new stream begins.
void component_expat_begin(void);
// How many allocations the parser has made for this stream.
size_t component_expat_pieces(void);
