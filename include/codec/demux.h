// SPDX-License-Identifier: ISC
// What a datagram on a media port is: decided once, totally, by RFC 7983 section 7 and RFC 5761
// section 4. Later code may trust the kind and its minimum length.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum packet_kind {
    PACKET_STUN,    // 20 bytes or more, magic cookie, length field fits the datagram
    PACKET_DTLS,    // first byte 20..63, 13 bytes or more
    PACKET_CHANNEL, // TURN ChannelData: first byte 64..79, 4 bytes or more
    PACKET_RTP,     // version 2, 12 bytes or more, not RTCP
    PACKET_RTCP,    // version 2, 8 bytes or more, packet type 192..223 (RFC 5761 section 4)
    PACKET_UNKNOWN, // anything else: empty, ZRTP, QUIC, STUN without cookie, too short for its kind
};

enum packet_kind demux(const uint8_t *data, size_t len);
const char *packet_kind_name(enum packet_kind kind);
