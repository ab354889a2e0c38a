// SPDX-License-Identifier: ISC
// RTP and RTCP as far as a relay that holds no keys can read them: the RTP fixed header
// (RFC 3550 section 5.1) and RTCP's first packet header with its sender's SSRC (section 6.4), both
// in the clear also under SRTP; and the receiver statistics that follow from them (appendix A).
#pragma once

#include "base/usec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rtp_header {
    uint8_t payload_type;
    bool marker;
    uint16_t sequence;
    uint32_t timestamp;
    uint32_t ssrc;
    size_t header_len; // with CSRCs and extension
};

// Returns 0 or -EBADMSG (too short, wrong version, CSRCs or extension beyond the datagram).
int rtp_decode(const uint8_t *data, size_t len, struct rtp_header *ret_header);
// The SSRC of the sender of an RTCP packet. Returns 0 or -EBADMSG.
int rtcp_sender(const uint8_t *data, size_t len, uint32_t *ret_ssrc);

// What one receiver would report of one SSRC. All counts are since the first packet.
struct rtp_quality {
    uint32_t ssrc;
    bool started;
    uint16_t highest;  // highest sequence number seen
    uint32_t cycles;   // of 65,536
    uint32_t base;     // extended sequence number of the first packet
    uint64_t received; // without duplicates
    uint64_t duplicates;
    uint64_t reordered;  // arrived after a higher sequence number
    uint64_t window;     // the last 64 sequence numbers seen, bit 0 = highest
    uint32_t clock_rate; // Hz; guessed from timestamps against arrival, 0 until it is sure
    double jitter_usec;  // RFC 3550 section 6.4.1, in microseconds; 0 until the clock rate is known
    uint32_t last_timestamp;
    usec_t timestamp_arrival; // of the first packet that carried last_timestamp
    usec_t last_arrival;
    usec_t first_arrival;     // with the next: where the stretch began from which the
    uint32_t first_timestamp; // clock rate is guessed
    uint32_t clock_guess;     // what the stretch before it said
    usec_t longest_gap;       // longest silence between two packets
};

// Counts one packet. A zeroed struct is one that has seen none; another SSRC begins anew.
void rtp_quality_see(struct rtp_quality *q, const struct rtp_header *header, usec_t now);
// Expected minus received; never negative.
uint64_t rtp_quality_lost(const struct rtp_quality *q);
