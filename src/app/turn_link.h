// SPDX-License-Identifier: ISC
// By what the TURN server's cores know the way to a client (struct turn_client, 'link'): a number
// that any worker may keep, of a listener, or of a connection's place on its worker with a serial.
// So a link outlives its connection harmlessly, and no worker has a pointer into another one.
#pragma once

#include "turn/turn.h"

struct turn_conn { // a place for a connection
    void *conn;    // struct stream_conn or dtls_session; NULL: free
    uint32_t serial;
    uint32_t next_free;
    bool trusted;
    enum turn_transport transport;
};

struct turn_links { // of one worker; zeroed memory but for 'worker' is one without connections
    unsigned worker;
    struct turn_conn *conn;     // owned
    uint32_t conns, first_free; // first_free == conns: none
};

void turn_links_free(struct turn_links *links);

void *turn_link_listener(unsigned number);
unsigned turn_link_listener_number(const void *link);

// The link of a new connection, or NULL without memory.
void *turn_link_add(struct turn_links *links, void *conn, enum turn_transport transport);
void turn_link_remove(struct turn_links *links, const void *link); // unknown ones are ignored
unsigned turn_link_worker(const void *link);                       // of a connection
// NULL: that connection is gone, or another worker's.
struct turn_conn *turn_link_conn(const struct turn_links *links, const void *link);
