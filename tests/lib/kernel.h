// SPDX-License-Identifier: ISC
// What a kernel's fast path does, without a kernel: it keeps flows that a core has put, forwards
// what offload_passes() lets through, counts with rtp_quality_see() and holds the limit of a group.
// For tests, which ask it about each datagram before the core.
#pragma once

#include "base/bucket.h"
#include "relay/offload.h"

#include <stddef.h>

#define KERNEL_FLOWS 128

struct kernel_flow {
    struct offload_flow flow;
    struct offload_report report;
    bool used;
};

struct kernel_group {
    uint64_t id;
    unsigned flows; // 0: free
    struct bucket bucket;
};

struct kernel {
    struct kernel_flow flow[KERNEL_FLOWS];
    struct kernel_group group[KERNEL_FLOWS];
    unsigned flows;
    unsigned pass_up, refuse; // per mille of packets, and of puts, that it wants nothing of
    unsigned fail_put;        // the k-th put fails, counted from 1; 0: none
    unsigned puts, takes, reads;
    uint64_t random;
    uint64_t packets; // forwarded ever
    const usec_t *now;
};

enum kernel_verdict { KERNEL_PASSES, KERNEL_FORWARDS, KERNEL_DROPS };

struct kernel_packet {
    const uint8_t *data;
    size_t len;
    struct addr from, to;
    uint8_t buf[2048];
};

// 'now' is the time, also as of later calls.
void kernel_init(struct kernel *k, const usec_t *now);
struct offload_io kernel_io(struct kernel *k);
// A datagram arrives. With KERNEL_FORWARDS the packet is as it leaves.
enum kernel_verdict kernel_recv(struct kernel *k, struct kernel_packet *packet);
