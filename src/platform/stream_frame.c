// SPDX-License-Identifier: ISC
// Framing of streams; see stream_frame.h.
#include "stream_frame.h"

#include <errno.h>
#include <string.h>

enum { STUN_HEADER = 20, CHANNEL_HEADER = 4 };

static size_t get16(const uint8_t *data)
{
    return (size_t)data[0] << 8 | data[1];
}

// RFC 8489 section 5: the first two bits are zero, the length is a multiple of 4, the cookie is
// fixed. No method is so high that the first byte is above 1.
static ssize_t stun_size(const uint8_t *data, size_t len)
{
    static const uint8_t cookie[] = {0x21, 0x12, 0xa4, 0x42};
    if (len < 4)
        return 0;
    size_t cookie_len = len - 4 < sizeof cookie ? len - 4 : sizeof cookie;
    if (data[3] % 4 || memcmp(data + 4, cookie, cookie_len) != 0)
        return -EBADMSG;
    return (ssize_t)(STUN_HEADER + get16(data + 2));
}

ssize_t stream_frame_cut(const uint8_t *data, size_t len, size_t max, size_t *ret_len)
{
    ssize_t size;
    if (data[0] <= 0x01)
        size = stun_size(data, len);
    else if (data[0] >= 0x40 && data[0] <= 0x7f) // RFC 5766 section 11
        size = len < CHANNEL_HEADER ? 0 : (ssize_t)(CHANNEL_HEADER + get16(data + 2));
    else
        return -EBADMSG;
    if (size <= 0)
        return size;
    if ((size_t)size > max)
        return -EBADMSG;
    // RFC 8656 section 12.5: padded to a multiple of 4, which the length does not tell. STUN is one
    // already.
    size_t wire = ((size_t)size + 3) & ~(size_t)3;
    if (len < wire)
        return 0;
    *ret_len = (size_t)size;
    return (ssize_t)wire;
}

bool stream_frame_is_media(const uint8_t *data, size_t len)
{
    if (len < 2)
        return false;
    // RFC 8489 section 5: class 0b01 is an indication; its bits are 0x0100 and 0x0010 of the type.
    return data[0] >= 0x40 || (!(data[0] & 0x01) && data[1] & 0x10);
}
