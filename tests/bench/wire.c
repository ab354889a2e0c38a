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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    QUEUE = 64,
    SLOT = FRAME_PAYLOAD_AT + WIRE_PAYLOAD_MAX,
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
                              // IPv4 only: what a TC program drops never comes here.
                              .sll_protocol = htons(ETH_P_IP),
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

static void prepare_slots(struct wire *wire, const struct side_config *side)
{
    for (unsigned i = 0; i < QUEUE; i++) {
        frame_begin(wire->slot[i], side);
        wire->iov[i].iov_base = wire->slot[i];
        wire->message[i].msg_hdr.msg_iov = &wire->iov[i];
        wire->message[i].msg_hdr.msg_iovlen = 1;
    }
}

int wire_open(const struct side_config *side, struct wire **ret_wire)
{
    struct wire *wire = calloc(1, sizeof *wire);
    int r;

    if (!wire)
        return -ENOMEM;
    wire->fd = -1;
    r = side_enter(side);
    if (r == 0) {
        // Protocol 0: nothing is received before it is bound to the device.
        wire->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
        r = wire->fd < 0 ? -errno : set_up(wire, side->device);
    }
    if (r < 0) {
        wire_close(wire);
        return r;
    }
    prepare_slots(wire, side);
    *ret_wire = wire;
    return 0;
}

int wire_open_side(const char *text, struct wire **ret_wire)
{
    struct side_config side;
    int r = side_parse(text, &side);

    if (r < 0)
        return r;
    r = wire_open(&side, ret_wire);
    if (r < 0)
        fprintf(stderr, "%s in %s: %s\n", side.device, side.netns, strerror(-r));
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

uint8_t *wire_payload(struct wire *wire)
{
    if (wire->queued == QUEUE)
        wire_flush(wire);
    return wire->slot[wire->queued] + FRAME_PAYLOAD_AT;
}

void wire_send(struct wire *wire, uint16_t from, const struct endpoint *to, size_t len)
{
    uint8_t *frame = wire->slot[wire->queued];

    frame_address(frame, from, to, len);
    frame_put_udp_checksum(frame, frame_sum(frame + FRAME_PAYLOAD_AT, len, frame_udp_sum(frame)));
    wire->iov[wire->queued++].iov_len = FRAME_PAYLOAD_AT + len;
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
    const uint8_t *ip = frame + FRAME_IP_AT, *udp = frame + FRAME_UDP_AT;
    struct datagram d = {.data = frame + FRAME_PAYLOAD_AT,
                         .at = (uint64_t)head->tp_sec * 1000000000u + head->tp_nsec};

    if (head->tp_snaplen < FRAME_PAYLOAD_AT || head->tp_snaplen != head->tp_len ||
        frame_get16(frame + 12) != ETH_P_IP || ip[0] != 0x45 || ip[9] != IPPROTO_UDP)
        return;
    if (frame_get16(udp + 4) < 8 || head->tp_snaplen < FRAME_UDP_AT + frame_get16(udp + 4))
        return;
    d.len = frame_get16(udp + 4) - 8;
    memcpy(d.from.ip, ip + 12, 4);
    d.from.port = (uint16_t)frame_get16(udp);
    d.to = (uint16_t)frame_get16(udp + 2);
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
