// SPDX-License-Identifier: ISC
// What whoever plays the hosts of a side by raw frames needs: which side it is, a way into its
// namespace, and the headers of an IPv4 datagram with their checksums.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_IP_AT = 14, // behind the Ethernet header
    FRAME_UDP_AT = FRAME_IP_AT + 20,
    FRAME_PAYLOAD_AT = FRAME_UDP_AT + 8,
};

struct endpoint {
    uint8_t ip[4];
    uint16_t port;
};

struct side_config {
    char netns[64];     // a name as in ip-netns(8)
    char device[16];    // a veth in there
    uint8_t ip[4];      // of all the clients
    uint8_t mac[6];     // theirs, as the relay's host knows it
    uint8_t gateway[6]; // of the relay's host
};

// From NETNS,DEVICE,IP,MAC,GATEWAY-MAC; what is wrong goes to stderr. Returns 0 or -EINVAL.
int side_parse(const char *text, struct side_config *ret_side);
// The calling thread is in the side's namespace from now on. Returns 0 or -errno.
int side_enter(const struct side_config *side);

// Big-endian.
void frame_put16(uint8_t *at, unsigned value);
unsigned frame_get16(const uint8_t *at);

// RFC 1071; in the machine's byte order, which the sum does not mind. 'start' is what was summed up
// so far, all of it of even length.
uint32_t frame_sum(const uint8_t *data, size_t len, uint32_t start);
void frame_put_checksum(uint8_t *at, uint32_t total);

// What all frames of a side have in common; the other fields are zero.
void frame_begin(uint8_t *frame, const struct side_config *side);
// Where it goes to; lengths, and the checksum of the IP header. That of UDP stays zero.
void frame_address(uint8_t *frame, uint16_t from, const struct endpoint *to, size_t payload_len);
// The pseudo-header of RFC 768, and the UDP header with its checksum as zero.
uint32_t frame_udp_sum(const uint8_t *frame);
// 'total': frame_udp_sum() and the payload's sum.
void frame_put_udp_checksum(uint8_t *frame, uint32_t total);
