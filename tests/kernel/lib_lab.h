// SPDX-License-Identifier: ISC
// Three network namespaces of this process's own, which end with it: the relay's, and one for each
// of two peers, joined by veths. Frames are put in and taken out raw at the peers' ends.
//
//     a0 10.77.1.2 fd77:1::2 ---- r0 10.77.1.1 fd77:1::1 (relay) r1 10.77.2.1 fd77:2::1 ---- b0
//     ..2.2
//
// Besides, 10.77.N.9 and fd77:N::9 are known as neighbours and belong to nobody, so that frames to
// them are answered by nobody. The relay's interfaces complete no checksums, so that what leaves
// has to be right.
#pragma once

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lab_place { LAB_RELAY, LAB_A, LAB_B, LAB_PLACES };

struct lab {
    int ns[LAB_PLACES];
    int raw[LAB_PLACES]; // packet sockets on a0 and b0
    int flush[2];        // sockets in the relay's namespace, from one to the other
};

enum { FRAME_MAX = 66000 };

// What a frame with UDP says, or is to say.
struct datagram {
    struct addr from, to;
    uint8_t tos, ttl;
    uint16_t id; // IPv4
    bool dont_fragment;
    bool no_checksum; // IPv4
    uint32_t label;   // IPv6
    uint8_t payload[2048];
    size_t len;
};

// False without the privilege, or when the lab could not be built; the reason is printed.
bool lab_open(struct lab *lab);
void lab_close(struct lab *lab);
void lab_enter(const struct lab *lab, enum lab_place place); // the calling thread
// Commands of ip(8), one a line, at that place. Fails the test.
void lab_ip(const struct lab *lab, enum lab_place place, const char *commands);
// Whether an interface leaves checksums to the one at the other end.
void lab_offload(const struct lab *lab, enum lab_place place, const char *interface, bool on);

void lab_send(const struct lab *lab, enum lab_place from, const void *frame, size_t len);
void lab_say(const struct lab *lab, enum lab_place from, const struct datagram *d);
// The next frame that arrived there, waiting at most so long; 0: none.
size_t lab_recv(const struct lab *lab, enum lab_place at, void *frame, size_t size, int msec);
// The next UDP datagram that arrived there, whose checksums must be right; false: none.
bool lab_hear(const struct lab *lab, enum lab_place at, struct datagram *ret_datagram, int msec);

// Returns when all frames that were sent before have been received, if all threads use one
// processor.
void lab_flush(const struct lab *lab);
// Of a frame with whole UDP; true of any other.
bool lab_sums_right(const uint8_t *frame, size_t len);

struct addr lab_addr(const char *ip, uint16_t port);
// Ethernet, IP and UDP around a payload, to the relay's interface of that place. Returns its
// length.
size_t lab_frame(enum lab_place from, const struct datagram *d, uint8_t *frame);
