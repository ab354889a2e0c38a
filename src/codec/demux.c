// SPDX-License-Identifier: ISC
// What a datagram is, by its first bytes.
#include "codec/demux.h"

#include "base/cursor.h"
#include "codec/stun.h"

#include <stdbool.h>

#define DTLS_HEADER_LEN    13
#define CHANNEL_HEADER_LEN 4
#define RTP_HEADER_LEN     12
#define RTCP_HEADER_LEN    8

static bool is_stun(const uint8_t *data, size_t len)
{
    struct reader r = reader_over(data, len);
    read_u16(&r);
    size_t body = read_u16(&r);
    uint32_t cookie = read_u32(&r);
    read_bytes(&r, STUN_TXID_LEN);
    return !r.failed && cookie == STUN_MAGIC && body <= reader_left(&r);
}

static enum packet_kind rtp_or_rtcp(const uint8_t *data, size_t len)
{
    // RFC 5761 section 4: the second byte of RTCP is its packet type, 192 to 223; RTP with the
    // marker must not use payload types 64 to 95, which would look the same.
    if (len >= 2 && data[1] >= 192 && data[1] <= 223)
        return len >= RTCP_HEADER_LEN ? PACKET_RTCP : PACKET_UNKNOWN;
    return len >= RTP_HEADER_LEN ? PACKET_RTP : PACKET_UNKNOWN;
}

enum packet_kind demux(const uint8_t *data, size_t len)
{
    if (len == 0)
        return PACKET_UNKNOWN;
    // RFC 7983 section 7, figure 3.
    uint8_t first = data[0];
    if (first <= 3)
        return is_stun(data, len) ? PACKET_STUN : PACKET_UNKNOWN;
    if (first >= 20 && first <= 63)
        return len >= DTLS_HEADER_LEN ? PACKET_DTLS : PACKET_UNKNOWN;
    if (first >= 64 && first <= 79)
        return len >= CHANNEL_HEADER_LEN ? PACKET_CHANNEL : PACKET_UNKNOWN;
    if (first >= 128 && first <= 191)
        return rtp_or_rtcp(data, len);
    return PACKET_UNKNOWN;
}

const char *packet_kind_name(enum packet_kind kind)
{
    switch (kind) {
    case PACKET_STUN:
        return "stun";
    case PACKET_DTLS:
        return "dtls";
    case PACKET_CHANNEL:
        return "channel";
    case PACKET_RTP:
        return "rtp";
    case PACKET_RTCP:
        return "rtcp";
    case PACKET_UNKNOWN:
        break;
    }
    return "unknown";
}
