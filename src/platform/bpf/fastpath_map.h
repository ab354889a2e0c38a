// SPDX-License-Identifier: ISC
// What the kernel's program and its loader agree upon: the maps' keys and values. Addresses and
// ports are in network order; IPv4 addresses use the first of four words, the others are zero.
#pragma once

#include "codec/rtp_quality.h"
#include "platform/fastpath_passed.h"
#include "relay/offload.h"
#include "relay/offload_passes.h"

#include <linux/bpf.h>
#include <linux/types.h>

struct fast_key {
    __u32 from[4], at[4];
    __u16 from_port, at_port;
    __u16 channel; // of the ChannelData that it takes; 0: it takes what has no such header
    __u16 family;  // enum family
};

// Where a packet goes, and what is written into it.
struct fast_way {
    __u32 ifindex; // 0: there is no way at present
    __u32 mtu;
    __u32 leave[4], to[4];
    __u16 leave_port, to_port;
    __u16 channel; // header that is put on, 0: none
    __u16 family;  // enum family, of 'leave' and 'to'
    __u32 label;   // IPv6: flow label, alike for all packets; the low half starts IPv4's id
    struct bpf_redir_neigh hop;
};

enum { FAST_MEDIA = 1, FAST_OFF = 2 }; // flags; OFF: taken back, forwards nothing

// What the loader says; it replaces all of this at once.
struct fast_rule {
    __u64 until; // ns
    __u64 group; // in 'limits'; 0: no limit
    __u32 flags;
    struct fast_way way;
};

// What the program counts.
struct fast_figures {
    __u64 packets, bytes, media, limited;
    __u64 last; // usec
};

// 'turn' is odd while somebody changes the flow, who alone may, and goes on by two with each
// change: whoever reads it twice, alike and even, has read what lies between as it was. The
// kernel's own lock does the same at four times the price.
struct fast_flow {
    __u64 turn;
    struct fast_rule rule;
    struct fast_figures figures;
    __u32 qualities;
    __u32 latest; // stream that was heard last
    struct rtp_quality quality[OFFLOAD_SSRC_MAX];
};

// A token bucket as in base/bucket.h; tokens are millionths of a byte.
struct fast_limit {
    struct bpf_spin_lock lock;
    __u32 unused;
    __u64 rate;         // bytes per second
    __u64 capacity;     // tokens
    __u64 fills_in;     // usec, from empty to full
    __u64 tokens, last; // usec
};

// The figures of one processor.
struct fast_totals {
    __u64 packets, bytes, limited;
    __u64 packets_of_turn; // of 'packets'
};

// A packet that is run through the program 'order' by the loader itself: it alone may change the
// rule of a flow and leave its figures, which the kernel counts on meanwhile.
struct fast_order {
    __u8 ethernet[16]; // the kernel wants a frame
    struct fast_key key;
    __u32 anew; // the figures begin from nothing, the streams with these
    struct fast_rule rule;
    __u32 qualities, unused;
    struct rtp_quality quality[OFFLOAD_SSRC_MAX];
};

enum { FAST_ORDER_NONE, FAST_ORDER_DONE, FAST_ORDER_BUSY }; // no such flow; done; try again

#define FAST_SEGMENTS_MAX 64 // of a train

// Room to look at a train's packets.
struct fast_train {
    __u8 head[FAST_SEGMENTS_MAX][OFFLOAD_HEAD_LEN];
};
