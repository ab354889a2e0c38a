// SPDX-License-Identifier: ISC
// An external component (XEP-0114): one connection to an XMPP server, by libstrophe on a libevent
// loop without polling. It reconnects by itself, with back-off and jitter; stream errors that only
// an operator can mend (conflict, host-unknown, not-authorized) are named and retried slowly.
//
// Only src/platform/component*.c know libstrophe: stanzas come and go as struct xml, with
// 'jabber:client' in place of the component's namespace. A stanza of more than 4,000 elements, 64
// levels or 64 attributes arrives without what is below its root.
#pragma once

#include "base/addr.h"
#include "codec/xml.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct component;

enum component_state { COMPONENT_CONNECTING, COMPONENT_UP, COMPONENT_DOWN };

struct component_config {
    const char *domain; // of the component: relay.example.org
    const char *secret;
    const char *server; // host name or IP literal
    uint16_t port;
};

struct component_handler {
    void *ctx;
    void (*stanza)(
        void *ctx,
        const struct xml *stanza); // borrowed; in the order of arrival; may call component_send()
    void (*state)(void *ctx, enum component_state state);
    // An address that is going to be tried; port 0. NULL is fine.
    void (*address)(void *ctx, const struct addr *addr);
};

// Starts connecting at once; the handler hears of the first change of state, COMPONENT_CONNECTING
// being the one it begins with. Nothing is called from within. 'config' is copied. 'dns' may be
// NULL if the server is an IP literal. Returns 0 or -errno.
int component_new(struct event_base *base, struct evdns_base *dns,
                  const struct component_config *config, const struct component_handler *handler,
                  struct component **ret_component);
// Closes the stream in order when it is up (what was queued is written first, waiting 'flush_usec'
// at most). Blocks for that time at most; the handler is not called any more. Not from within the
// handler.
void component_free(struct component *component, uint64_t flush_usec);
// Queues a stanza; it must have 'from' and 'to'. Returns 0, -ENOTCONN, -ENOBUFS (the peer does not
// read), -EMSGSIZE (more than 500,000 bytes: Prosody would end the connection), -ENOMEM or -EINVAL.
int component_send(struct component *component, const struct xml *stanza);
