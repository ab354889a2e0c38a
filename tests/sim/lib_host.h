// SPDX-License-Identifier: ISC
// An XMPP server that diverts (docs/DIVERT.md) between the clients and the relay of an office: it
// hands over Jingle requests, keeps their order, loses some answers, and sometimes diverts what
// came back a second time.
#pragma once

#include "sim/lib_office.h"

struct host;

struct host *host_new(struct office *o);
void host_free(struct host *host); // asserts that nothing waits; NULL is fine
// What a client sends to another one; taken.
void host_stanza(struct host *host, struct xml *stanza);
// What the component answers; borrowed.
void host_answer(struct host *host, const struct xml *stanza);
