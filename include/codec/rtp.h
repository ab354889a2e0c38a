// SPDX-License-Identifier: ISC
// RTP and RTCP as far as a relay that holds no keys can read them: the RTP fixed header
// (RFC 3550 section 5.1) and RTCP's first packet header with its sender's SSRC (section 6.4), both
// in the clear also under SRTP. The receiver statistics that follow from them: rtp_quality.h.
#pragma once

#include "codec/rtp_quality.h"

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

static inline struct rtp_arrival rtp_arrival(const struct rtp_header *header)
{
    return (struct rtp_arrival){header->ssrc, header->timestamp, header->sequence};
}
