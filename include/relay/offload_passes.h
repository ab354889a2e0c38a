// SPDX-License-Identifier: ISC
// Which packets of an offloaded flow may be forwarded without the core: of a media flow RTP and
// RTCP, of a TURN client's channel the ChannelData of that channel, of a TURN peer everything. The
// core and the kernel's program compile this same text, so it calls nothing.
//
// It knows less than codec/demux.h and rtp_decode(), never more: what passes is of the kind that
// they say it is, and what it is not sure of is left to them.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OFFLOAD_HEAD_LEN 16 // bytes of a payload that decide

// RFC 5761 section 4; only for version 2, 'len' at least 2.
static inline bool offload_is_rtcp(const uint8_t *head)
{
    return head[1] >= 192 && head[1] <= 223;
}

// RFC 3550 section 5.1: a header that lies within the packet, as rtp_decode() wants it. The length
// of an extension behind CSRCs stands too deep to be seen.
static inline bool offload_rtp_fits(const uint8_t *head, size_t len)
{
    size_t csrcs = head[0] & 0xf;
    bool extended = head[0] & 0x10;

    if (len < 12 + 4 * csrcs)
        return false;
    if (!extended)
        return true;
    return csrcs == 0 && len >= 16 && len >= 16 + 4 * ((size_t)head[14] << 8 | head[15]);
}

static inline bool offload_media_passes(const uint8_t *head, size_t len)
{
    if (len < 8 || head[0] >> 6 != 2)
        return false;
    return offload_is_rtcp(head) || offload_rtp_fits(head, len);
}

// RFC 8656 section 12.4, unpadded as over UDP it usually is.
static inline bool offload_channel_passes(uint16_t channel, const uint8_t *head, size_t len)
{
    return len >= 4 && (head[0] << 8 | head[1]) == channel &&
           ((size_t)head[2] << 8 | head[3]) == len - 4;
}

// 'head': the first OFFLOAD_HEAD_LEN bytes of the payload, fewer if it is shorter; 'len': of all.
static inline bool offload_passes(bool media, uint16_t channel_in, const uint8_t *head, size_t len)
{
    if (channel_in)
        return offload_channel_passes(channel_in, head, len);
    return !media || offload_media_passes(head, len);
}
