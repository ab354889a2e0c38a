// SPDX-License-Identifier: ISC
// From libstrophe's stanzas to our element trees.
#pragma once

#include "codec/xml.h"

#include <strophe.h>

#define COMPONENT_ELEMENTS_MAX   4000 // of a stanza, its root among them
#define COMPONENT_ATTRIBUTES_MAX 64   // of an element

// The namespace of the stream becomes jabber:client, as everything above expects it. A stanza
// beyond the limits (64 levels, 4,000 elements, 64 attributes in one of them) comes without what
// is below its root, so that a request can still be answered; *ret_cut says so. Returns 0 or
// -ENOMEM.
int component_stanza_convert(xmpp_stanza_t *stanza, struct xml **ret_x, bool *ret_cut);
