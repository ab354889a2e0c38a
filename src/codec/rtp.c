// SPDX-License-Identifier: ISC
// RTP and RTCP headers.
#include "codec/rtp.h"

#include "base/cursor.h"

#include <errno.h>

int rtp_decode(const uint8_t *data, size_t len, struct rtp_header *ret_header)
{
    struct reader r = reader_over(data, len);
    uint8_t first = read_u8(&r);
    uint8_t second = read_u8(&r);
    struct rtp_header header = {
        .payload_type = second & 0x7f,
        .marker = second >> 7,
        .sequence = read_u16(&r),
    };
    header.timestamp = read_u32(&r);
    header.ssrc = read_u32(&r);
    read_bytes(&r, 4u * (first & 0xf)); // CSRCs
    if (first & 0x10) {                 // header extension, RFC 3550 section 5.3.1
        read_u16(&r);
        uint16_t words = read_u16(&r);
        read_bytes(&r, 4u * words);
    }
    if (r.failed || first >> 6 != 2)
        return -EBADMSG;
    header.header_len = len - reader_left(&r);
    *ret_header = header;
    return 0;
}

int rtcp_sender(const uint8_t *data, size_t len, uint32_t *ret_ssrc)
{
    struct reader r = reader_over(data, len);
    uint8_t first = read_u8(&r);
    uint8_t type = read_u8(&r);
    uint16_t words = read_u16(&r); // of 32 bits, less one
    struct reader body = read_block(&r, 4u * words);
    uint32_t ssrc = read_u32(&body);
    if (body.failed || first >> 6 != 2 || type < 192 || type > 223)
        return -EBADMSG;
    *ret_ssrc = ssrc;
    return 0;
}
