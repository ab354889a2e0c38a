// SPDX-License-Identifier: ISC
// HMAC-SHA1, HMAC-SHA256 and CRC-32 over STUN messages.
#include "stun_sum.h"

#include "codec/stun.h"

#include <string.h>

#define FINGERPRINT_XOR 0x5354554Eu // RFC 8489 section 14.7

int stun_hmac(enum hmac_kind kind, const uint8_t *msg, size_t len, const void *key, size_t key_len,
              uint8_t ret_hmac[HMAC_SHA256_LEN])
{
    // RFC 8489 sections 14.5 and 14.6: the length field counts everything up to and including the
    // attribute itself, nothing behind it.
    uint8_t header[STUN_HEADER_LEN];
    memcpy(header, msg, sizeof header);
    size_t body = len - sizeof header + 4 + (kind == HMAC_SHA1 ? HMAC_SHA1_LEN : HMAC_SHA256_LEN);
    header[2] = (uint8_t)(body >> 8);
    header[3] = (uint8_t)body;
    const struct hmac_part parts[] = {
        {header, sizeof header},
        {msg + sizeof header, len - sizeof header},
    };
    return hmac_sum(kind, key, key_len, parts, 2, ret_hmac);
}

uint32_t stun_fingerprint(const uint8_t *msg, size_t len)
{
    // CRC-32 of ITU-T V.42, reflected, four bits at a time.
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= msg[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc ^ FINGERPRINT_XOR;
}
