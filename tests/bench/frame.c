// SPDX-License-Identifier: ISC
// Frames of IPv4 and UDP, written by hand; see frame.h.
#include "frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// ---- sides

static bool parse_mac(const char *text, uint8_t mac[6])
{
    return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
                  &mac[4], &mac[5]) == 6;
}

int side_parse(const char *text, struct side_config *ret_side)
{
    struct side_config side;
    char ip[16], mac[18], gateway[18];

    if (sscanf(text, "%63[^,],%15[^,],%15[^,],%17[^,],%17s", side.netns, side.device, ip, mac,
               gateway) != 5 ||
        inet_pton(AF_INET, ip, side.ip) != 1 || !parse_mac(mac, side.mac) ||
        !parse_mac(gateway, side.gateway)) {
        fprintf(stderr, "%s is not NETNS,DEVICE,IP,MAC,GATEWAY-MAC\n", text);
        return -EINVAL;
    }
    *ret_side = side;
    return 0;
}

int side_enter(const struct side_config *side)
{
    char path[256];
    int fd, r;

    snprintf(path, sizeof path, "/run/netns/%s", side->netns);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
    close(fd);
    return r;
}

// ---- numbers

void frame_put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

unsigned frame_get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

uint32_t frame_sum(const uint8_t *data, size_t len, uint32_t start)
{
    uint32_t total = start;
    uint16_t word;

    for (; len > 1; len -= 2, data += 2) {
        memcpy(&word, data, 2);
        total += word;
    }
    if (len > 0) {
        const uint8_t last[2] = {*data, 0};

        memcpy(&word, last, 2);
        total += word;
    }
    return total;
}

void frame_put_checksum(uint8_t *at, uint32_t total)
{
    uint16_t word;

    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    word = (uint16_t)~total;
    memcpy(at, &word, 2);
}

// ---- frames

void frame_begin(uint8_t *frame, const struct side_config *side)
{
    uint8_t *ip = frame + FRAME_IP_AT;

    memset(frame, 0, FRAME_PAYLOAD_AT);
    memcpy(frame, side->gateway, 6);
    memcpy(frame + 6, side->mac, 6);
    frame[12] = 0x08; // IPv4
    ip[0] = 0x45;
    ip[6] = 0x40; // do not fragment
    ip[8] = 64;
    ip[9] = IPPROTO_UDP;
    memcpy(ip + 12, side->ip, 4);
}

void frame_address(uint8_t *frame, uint16_t from, const struct endpoint *to, size_t payload_len)
{
    uint8_t *ip = frame + FRAME_IP_AT, *udp = frame + FRAME_UDP_AT;

    frame_put16(ip + 2, (unsigned)(28 + payload_len));
    frame_put16(ip + 10, 0);
    memcpy(ip + 16, to->ip, 4);
    frame_put_checksum(ip + 10, frame_sum(ip, 20, 0));
    frame_put16(udp, from);
    frame_put16(udp + 2, to->port);
    frame_put16(udp + 4, (unsigned)(8 + payload_len));
    frame_put16(udp + 6, 0);
}

uint32_t frame_udp_sum(const uint8_t *frame)
{
    const uint8_t *ip = frame + FRAME_IP_AT, *udp = frame + FRAME_UDP_AT;

    // Both addresses, the protocol, the length.
    return frame_sum(udp, 6, frame_sum(ip + 12, 8, 0)) + htons(IPPROTO_UDP) +
           htons((uint16_t)frame_get16(udp + 4));
}

void frame_put_udp_checksum(uint8_t *frame, uint32_t total)
{
    uint8_t *checksum = frame + FRAME_UDP_AT + 6;

    frame_put_checksum(checksum, total);
    if (frame_get16(checksum) == 0)
        frame_put16(checksum, 0xffff);
}
