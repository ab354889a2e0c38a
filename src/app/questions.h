// SPDX-License-Identifier: ISC
// What the daemon asks its XMPP server for the sake of those who run it: each served domain for the
// STUN and TURN services that it tells its users (XEP-0215), and for the time (XEP-0202). It asks
// as the component, so that a server which keeps its services to users has to let it. And what the
// server has shown of itself: that its module for diverted calls has asked for this component.
#pragma once

#include "codec/xml.h"
#include "config.h"

#include <event2/event.h>
#include <jansson.h>

struct questions;

struct questions_world { // borrowed
    struct event_base *base;
    const struct config *config;
    void *ctx;
    int (*send)(void *ctx, const struct xml *stanza); // 0 or -errno
};

// Returns 0 or -ENOMEM.
int questions_new(const struct questions_world *world, struct questions **ret_questions);
void questions_free(struct questions *questions); // nobody is answered any more; NULL is fine

// Asks. 'done' is called once, later, at the latest after five seconds, with what is known by then;
// 'answers' is taken over, NULL without memory:
//     {"example.org": {"module": bool, "delegated": bool,
//                      "services": [{"type", "host", "port", "transport", "username", "password"}],
//                      "services_error": "forbidden", "software": "ejabberd",
//                      "time": seconds, "asked": seconds, "answered": seconds}}
// "module" and "delegated" were seen since the component connected: that either has ended is not
// told. Who asks while others wait gets what they get. Returns 0 or -ENOMEM.
int questions_ask(struct questions *questions, void (*done)(void *ctx, json_t *answers), void *ctx);
// Whoever waits with this 'done' is not answered any more.
void questions_cancel(struct questions *questions, void (*done)(void *ctx, json_t *answers));

// The server is another, or was started again: what it showed before does not count. NULL is fine.
void questions_connected(struct questions *questions);
// Every stanza from the server. True: it was an answer to one of these questions.
bool questions_stanza(struct questions *questions, const struct xml *stanza);
