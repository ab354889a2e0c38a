// SPDX-License-Identifier: ISC
// Frames by AF_PACKET; see wire.h and packet(7).
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    QUEUE = 64,
    IP_AT = sizeof(struct ether_header),
    UDP_AT = IP_AT + 20,
    PAYLOAD_AT = UDP_AT + 8,
    SLOT = PAYLOAD_AT + WIRE_PAYLOAD_MAX,
    RING_FRAME = 1024,
    RING_BLOCK = 1 << 20,
    RING_BLOCKS = 32, // half a second at 60,000 packets a second
    RING_FRAMES = RING_BLOCKS * (RING_BLOCK / RING_FRAME),
    SEND_BUFFER = 4 << 20,
};

struct wire {
    int fd;
    uint8_t *ring;
    unsigned next; // frame of the ring
    unsigned queued;
    struct mmsghdr message[QUEUE];
    struct iovec iov[QUEUE];
    uint8_t slot[QUEUE][SLOT];
};

uint64_t wire_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// ---- opening

static int enter(const char *netns)
{
    char path[256];
    int fd, r;

    snprintf(path, sizeof path, "/run/netns/%s", netns);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
    close(fd);
    return r;
}

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

static int set_up(struct wire *wire, const char *device)
{
    const struct tpacket_req ring = {.tp_block_size = RING_BLOCK,
                                     .tp_block_nr = RING_BLOCKS,
                                     .tp_frame_size = RING_FRAME,
                                     .tp_frame_nr = RING_FRAMES};
    struct sockaddr_ll sll = {.sll_family = AF_PACKET,
                              .sll_protocol = htons(ETH_P_ALL),
                              .sll_ifindex = (int)if_nametoindex(device)};
    int r = set_option(wire->fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2);

    if (r == 0)
        r = set_option(wire->fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1);
    if (r == 0)
        r = set_option(wire->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
    if (r == 0)
        r = set_option(wire->fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER);
    if (r < 0)
        return r;
    if (setsockopt(wire->fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring) < 0 ||
        bind(wire->fd, (struct sockaddr *)&sll, sizeof sll) < 0)
        return -errno;
    wire->ring = mmap(NULL, (size_t)RING_BLOCK * RING_BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED,
                      wire->fd, 0);
    if (wire->ring == MAP_FAILED) {
        wire->ring = NULL;
        return -errno;
    }
    return 0;
}

// What all frames of this side have in common.
static void prepare_slots(struct wire *wire, const struct wire_config *config)
{
    for (unsigned i = 0; i < QUEUE; i++) {
        uint8_t *frame = wire->slot[i], *ip = frame + IP_AT;

        memcpy(frame, config->gateway, 6);
        memcpy(frame + 6, config->mac, 6);
        frame[12] = 0x08; // IPv4
        ip[0] = 0x45;
        ip[6] = 0x40; // do not fragment
        ip[8] = 64;
        ip[9] = IPPROTO_UDP;
        memcpy(ip + 12, config->ip, 4);
        wire->iov[i].iov_base = frame;
        wire->message[i].msg_hdr.msg_iov = &wire->iov[i];
        wire->message[i].msg_hdr.msg_iovlen = 1;
    }
}

int wire_open(const struct wire_config *config, struct wire **ret_wire)
{
    struct wire *wire = calloc(1, sizeof *wire);
    int r;

    if (!wire)
        return -ENOMEM;
    wire->fd = -1;
    r = enter(config->netns);
    if (r == 0) {
        // Protocol 0: nothing is received before it is bound to the device.
        wire->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
        r = wire->fd < 0 ? -errno : set_up(wire, config->device);
    }
    if (r < 0) {
        wire_close(wire);
        return r;
    }
    prepare_slots(wire, config);
    *ret_wire = wire;
    return 0;
}

static bool parse_mac(const char *text, uint8_t mac[6])
{
    return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
                  &mac[4], &mac[5]) == 6;
}

int wire_open_side(const char *text, struct wire **ret_wire)
{
    char netns[64], device[16], ip[16], mac[18], gateway[18];
    struct wire_config config = {.netns = netns, .device = device};
    int r;

    if (sscanf(text, "%63[^,],%15[^,],%15[^,],%17[^,],%17s", netns, device, ip, mac, gateway) !=
            5 ||
        inet_pton(AF_INET, ip, config.ip) != 1 || !parse_mac(mac, config.mac) ||
        !parse_mac(gateway, config.gateway)) {
        fprintf(stderr, "%s is not NETNS,DEVICE,IP,MAC,GATEWAY-MAC\n", text);
        return -EINVAL;
    }
    r = wire_open(&config, ret_wire);
    if (r < 0)
        fprintf(stderr, "%s in %s: %s\n", device, netns, strerror(-r));
    return r;
}

void wire_close(struct wire *wire)
{
    if (!wire)
        return;
    if (wire->ring)
        munmap(wire->ring, (size_t)RING_BLOCK * RING_BLOCKS);
    if (wire->fd >= 0)
        close(wire->fd);
    free(wire);
}

// ---- sending

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

// RFC 1071; in the machine's byte order, which the sum does not mind.
static uint32_t sum(const uint8_t *data, size_t len, uint32_t start)
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

static void put_checksum(uint8_t *at, uint32_t total)
{
    uint16_t word;

    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    word = (uint16_t)~total;
    memcpy(at, &word, 2);
}

uint8_t *wire_payload(struct wire *wire)
{
    if (wire->queued == QUEUE)
        wire_flush(wire);
    return wire->slot[wire->queued] + PAYLOAD_AT;
}

void wire_send(struct wire *wire, uint16_t from, const struct endpoint *to, size_t len)
{
    uint8_t *frame = wire->slot[wire->queued], *ip = frame + IP_AT, *udp = frame + UDP_AT;

    put16(ip + 2, (unsigned)(28 + len));
    put16(ip + 10, 0);
    memcpy(ip + 16, to->ip, 4);
    put_checksum(ip + 10, sum(ip, 20, 0));
    put16(udp, from);
    put16(udp + 2, to->port);
    put16(udp + 4, (unsigned)(8 + len));
    put16(udp + 6, 0);
    // The pseudo-header of RFC 768: both addresses, the protocol, the length.
    put_checksum(udp + 6, sum(udp, 8 + len, sum(ip + 12, 8, 0)) + htons(IPPROTO_UDP) +
                              htons((uint16_t)(8 + len)));
    if (get16(udp + 6) == 0)
        put16(udp + 6, 0xffff);
    wire->iov[wire->queued++].iov_len = PAYLOAD_AT + len;
}

void wire_flush(struct wire *wire)
{
    for (unsigned done = 0; done < wire->queued;) {
        int n = sendmmsg(wire->fd, wire->message + done, wire->queued - done, 0);

        done += n > 0 ? (unsigned)n : 1; // refused: the relay's host has no room for it
    }
    wire->queued = 0;
}

// ---- receiving

static void hand_over(const struct tpacket2_hdr *head, const uint8_t *frame,
                      void (*each)(void *ctx, const struct datagram *datagram), void *ctx)
{
    const uint8_t *ip = frame + IP_AT, *udp = frame + UDP_AT;
    struct datagram d = {.data = frame + PAYLOAD_AT,
                         .at = (uint64_t)head->tp_sec * 1000000000u + head->tp_nsec};

    if (head->tp_snaplen < PAYLOAD_AT || head->tp_snaplen != head->tp_len ||
        get16(frame + 12) != ETH_P_IP || ip[0] != 0x45 || ip[9] != IPPROTO_UDP)
        return;
    if (get16(udp + 4) < 8 || head->tp_snaplen < UDP_AT + get16(udp + 4))
        return;
    d.len = get16(udp + 4) - 8;
    memcpy(d.from.ip, ip + 12, 4);
    d.from.port = (uint16_t)get16(udp);
    d.to = (uint16_t)get16(udp + 2);
    each(ctx, &d);
}

unsigned wire_receive(struct wire *wire, unsigned max,
                      void (*each)(void *ctx, const struct datagram *datagram), void *ctx)
{
    unsigned count = 0;

    for (; count < max; count++) {
        uint8_t *at = wire->ring + (size_t)wire->next * RING_FRAME;
        struct tpacket2_hdr *head = (void *)at;

        if (!(__atomic_load_n(&head->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
            break;
        hand_over(head, at + head->tp_mac, each, ctx);
        __atomic_store_n(&head->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
        wire->next = (wire->next + 1) % RING_FRAMES;
    }
    return count;
}

unsigned wire_overflow(struct wire *wire)
{
    struct tpacket_stats stats = {0}; // reading resets them
    socklen_t len = sizeof stats;

    (void)getsockopt(wire->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
    return stats.tp_drops;
}
