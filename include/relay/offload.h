// SPDX-License-Identifier: ISC
// What the kernel may forward by itself. A core that has an established flow (one direction between
// two 5-tuples that latching, or TURN, has proved) may ask for it to be offloaded; what of the flow
// is not plain data (STUN, DTLS, fragments, whatever is unknown) keeps coming to the core, which
// stays the reference: both must forward alike. The core may ask for the same flow again and takes
// it back before anything changes that its permission rests on.
//
// offload_passes() is the one predicate that says which packets of a flow may be forwarded without
// the core. It, and the counting of RTP (codec/rtp_quality.h), are compiled into the kernel's
// program as well: no calls, no floating point, nothing of the C library.
#pragma once

#include "base/addr.h"
#include "base/usec.h"
#include "codec/rtp_quality.h"

#include <stdbool.h>

#define OFFLOAD_SSRC_MAX 4 // streams whose quality is followed per flow

struct offload_flow {
    struct addr from, at;  // what arrives: the proved source, and our port as it is bound
    struct addr leave, to; // what leaves: from our bound port to the proved destination
    uint16_t channel_in;   // ChannelData header (RFC 8656 section 12.4) that is taken off; 0: none
    uint16_t channel_out;  // that is put on; 0: none
    bool media;            // of a Jingle path: only RTP and RTCP; their quality is followed
    usec_t until;          // the core's again from then on; USEC_NEVER: until it is taken back
    uint64_t group;        // flows of one group share the limit
    uint64_t bytes_per_second; // of payload; 0: no limit
};

struct offload_report {      // since put()
    uint64_t packets, bytes; // forwarded; bytes of payload, ChannelData headers not counted
    uint64_t media;          // of packets: RTP
    uint64_t limited;        // packets dropped for the limit's sake
    usec_t last;             // when the last one was forwarded; 0: none
    struct rtp_quality quality[OFFLOAD_SSRC_MAX]; // continues what put() was given
    unsigned qualities;
};

// A flow is named by from, at and channel_in.
struct offload_io {
    void *ctx;
    // 'quality': 'qualities' of them, where the counting goes on. Putting a flow that is there
    // replaces where it goes and how long, and keeps its figures. Returns 0, or -errno when
    // this one stays with the core: -ENOSPC (no room), -EHOSTUNREACH (no way out that the kernel's
    // program can take, such as this host itself), -EOPNOTSUPP (there is no program) ...
    int (*put)(void *ctx, const struct offload_flow *flow, const struct rtp_quality *quality,
               unsigned qualities);
    // Returns 0 or -ENOENT.
    int (*read)(void *ctx, const struct offload_flow *flow, struct offload_report *ret_report);
    // Ends it. When this returns the kernel forwards nothing of it any more, and the figures are
    // final. Returns 0 or -ENOENT.
    int (*take)(void *ctx, const struct offload_flow *flow, struct offload_report *ret_report);
};
