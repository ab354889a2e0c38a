// SPDX-License-Identifier: ISC
// What the files of one worker's part of the STUN/TURN server share. Nothing but turn_worker.c and
// turn_clients.c includes this.
#pragma once

#include "platform/dtls.h"
#include "platform/stream.h"
#include "turn_link.h"
#include "turn_relayed.h"
#include "turn_tcp.h"
#include "turn_worker.h"

struct listener {
    struct turn_worker *worker;
    unsigned number;
    struct udp_socket *socket;
    bool shared; // ICE paths of this worker use it too
};

// The datagram that is being decided about: its answer leaves out of its buffer, with what else the
// burst sends.
struct answering {
    const struct turn_client *client; // NULL: none is
    uint8_t *data;                    // the request
    size_t room;                      // from there on; UDP_HEADROOM more before it
    uint8_t *answer;                  // NULL: none yet, or it did not fit
    size_t len;
};

struct turn_worker {
    struct turn_worker_config config;
    const struct turn_server *server;
    struct turn_config turn_config[2]; // the server's, with this worker's number; of them in use:
    unsigned config_used;
    struct udp_reader listener_reader, relayed_reader;
    struct listener listener[TURN_LISTENERS_MAX];
    struct turn *turn;
    struct turn_tcp *tcp; // NULL: no TCP allocations
    struct streams *streams;
    struct dtls *dtls;
    struct turn_links links;
    struct relayed_ports ports;
    struct answering answering;
    usec_t clock_set, reviewed;
    usec_t now; // of the call that is running
    // The message of another worker that is being taken; NULL: what runs is this one's own, or has
    // been sent back.
    const struct turn_letter *letter;
};

// ---- turn_clients.c: from and to clients, and by letter about them

struct udp_socket *listener_of_link(const struct turn_worker *w, const void *link);
// NULL: it is gone, or no stream.
struct stream_conn *stream_of_link(const struct turn_worker *w, const void *link);
// 'ctx' is the worker in all of these.
int client_send(void *ctx, const struct turn_client *client, const uint8_t *data, size_t len);
// What became of data that were sent so, if nobody else counts it.
void client_sent(struct turn_worker *w, int result);
// Connections whose client has nothing here any more lose their trust. Returns when to call again,
// or USEC_NEVER while there has been none.
usec_t clients_review(struct turn_worker *w, usec_t now);
struct udp_socket *client_datagram(void *ctx, void *owner, struct udp_datagram *datagram,
                                   struct addr *ret_to, usec_t now); // owner: struct listener
struct stream_handler client_streams(struct turn_worker *w);
struct dtls_handler client_dtls(struct turn_worker *w);
