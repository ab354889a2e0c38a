// SPDX-License-Identifier: ISC
// One side of the lab's network, played by the load generator: a raw link into a namespace that has
// no addresses of its own. Datagrams leave as whole frames and are read out of a ring that the
// kernel fills, so that thousands of clients cost their core less than the relay costs its own;
// with a socket per client the generator would be as slow as what it measures.
//
// Frames for the clients bear a MAC address that nobody has: the kernel shows them to us with the
// time of their arrival and throws them away before its IP layer sees them.
#pragma once

#include "frame.h"

#define WIRE_PAYLOAD_MAX 470

struct datagram { // received; views into the ring
    const uint8_t *data;
    size_t len;
    struct endpoint from;
    uint16_t to; // port
    uint64_t at; // CLOCK_REALTIME, ns
};

struct wire;

// Leaves the calling thread in the wire's namespace. Returns 0 or -errno.
int wire_open(const struct side_config *side, struct wire **ret_wire);
// The same from the text that side_parse() takes; what is wrong goes to stderr.
int wire_open_side(const char *text, struct wire **ret_wire);
void wire_close(struct wire *wire);

// Room for the payload of the next datagram, valid until wire_send(), which queues it; wire_flush()
// sends what is queued, and happens by itself when the queue is full. What the kernel refuses is
// lost, as it would be on a real wire.
uint8_t *wire_payload(struct wire *wire);
void wire_send(struct wire *wire, uint16_t from, const struct endpoint *to, size_t len);
void wire_flush(struct wire *wire);

// Hands over what has arrived, at most 'max' datagrams; returns their number.
unsigned wire_receive(struct wire *wire, unsigned max,
                      void (*each)(void *ctx, const struct datagram *datagram), void *ctx);
// Frames that found the ring full since the last call: then a figure is not to be believed.
unsigned wire_overflow(struct wire *wire);

uint64_t wire_now(void); // the clock of datagram.at
