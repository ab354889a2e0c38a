// SPDX-License-Identifier: ISC
// Why a packet of a flow that the kernel's fast path knows went to user space all the same. Apart
// from platform/fastpath.h because the kernel's program counts by it, too.
#pragma once

enum fastpath_passed {
    FASTPATH_KIND,     // not what offload_passes() lets through: STUN, DTLS, another channel, ...
    FASTPATH_FRAGMENT, // a fragment, IP options, extension headers
    FASTPATH_LENGTH,   // lengths that do not agree, padding
    FASTPATH_MTU,      // would not fit the way out
    FASTPATH_CHECKSUM, // its UDP checksum is not there yet (CHECKSUM_PARTIAL) and would move
    FASTPATH_TRAIN,    // coalesced, and every part would need a header of its own
    FASTPATH_EXPIRED,  // its time is over
    FASTPATH_ROUTE,    // there is no way out at present
    FASTPATH_BUSY,     // another processor had the flow for too long
    FASTPATH_PASSED_COUNT,
};
