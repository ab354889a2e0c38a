// SPDX-License-Identifier: ISC
// The namespaces of the kernel's tests; see lib_lab.h.
#include "lib_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define RELAY_MAC 0x02, 0, 0, 0, 0, 0x11
#define PEER_MAC  0x02, 0, 0, 0, 0, 0x21

static const char relay_network[] =
    "link set lo up\n"
    "link add r0 address 02:00:00:00:00:11 type veth peer name a0 address 02:00:00:00:00:21\n"
    "link add r1 address 02:00:00:00:00:12 type veth peer name b0 address 02:00:00:00:00:22\n"
    "link set r0 up\n"
    "link set r1 up\n"
    "addr add 10.77.1.1/24 dev r0\n"
    "addr add 10.77.2.1/24 dev r1\n"
    "addr add fd77:1::1/64 dev r0 nodad\n"
    "addr add fd77:2::1/64 dev r1 nodad\n"
    "neigh add 10.77.1.9 lladdr 02:00:00:00:00:21 dev r0\n"
    "neigh add 10.77.2.9 lladdr 02:00:00:00:00:22 dev r1\n"
    "neigh add fd77:1::9 lladdr 02:00:00:00:00:21 dev r0\n"
    "neigh add fd77:2::9 lladdr 02:00:00:00:00:22 dev r1\n";
static const char a_network[] = "link set lo up\n"
                                "link set a0 up\n"
                                "addr add 10.77.1.2/24 dev a0\n"
                                "addr add fd77:1::2/64 dev a0 nodad\n"
                                "route add default via 10.77.1.1\n";
static const char b_network[] = "link set lo up\n"
                                "link set b0 up\n"
                                "addr add 10.77.2.2/24 dev b0\n"
                                "addr add fd77:2::2/64 dev b0 nodad\n"
                                "route add default via 10.77.2.1\n";

// ---- namespaces ----

static int own_namespace(void)
{
    return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static bool ip_batch(const char *commands)
{
    int in[2], status = -1;
    pid_t pid;

    if (pipe2(in, O_CLOEXEC) < 0)
        return false;
    pid = fork();
    if (pid == 0) {
        dup2(in[0], STDIN_FILENO);
        execlp("ip", "ip", "-batch", "-", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    if (write(in[1], commands, strlen(commands)) < 0)
        perror("ip");
    close(in[1]);
    if (pid > 0)
        waitpid(pid, &status, 0);
    return status == 0;
}

void lab_enter(const struct lab *lab, enum lab_place place)
{
    assert_int_equal(setns(lab->ns[place], CLONE_NEWNET), 0);
}

void lab_ip(const struct lab *lab, enum lab_place place, const char *commands)
{
    lab_enter(lab, place);
    assert_true(ip_batch(commands));
    lab_enter(lab, LAB_RELAY);
}

void lab_offload(const struct lab *lab, enum lab_place place, const char *interface, bool on)
{
    struct ethtool_value value = {.cmd = ETHTOOL_STXCSUM, .data = on};
    struct ifreq request = {.ifr_data = (char *)&value};
    int fd;

    lab_enter(lab, place);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    assert_int_equal(ioctl(fd, SIOCETHTOOL, &request), 0);
    close(fd);
    lab_enter(lab, LAB_RELAY);
}

static int open_raw(const struct lab *lab, enum lab_place place, const char *interface)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    int fd, room = 1 << 24;

    lab_enter(lab, place);
    fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    at.sll_ifindex = (int)if_nametoindex(interface);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    lab_enter(lab, LAB_RELAY);
    return fd;
}

// By way of the loopback interface, whose packets wait in the same queue as those of veths.
static void open_flush(struct lab *lab)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    for (int i = 0; i < 2; i++)
        lab->flush[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(lab->flush[0], (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(lab->flush[0], (struct sockaddr *)&at, &len), 0);
    assert_int_equal(connect(lab->flush[1], (struct sockaddr *)&at, len), 0);
}

void lab_flush(const struct lab *lab)
{
    char byte = 'x';

    assert_int_equal(send(lab->flush[1], &byte, 1, 0), 1);
    assert_int_equal(recv(lab->flush[0], &byte, 1, 0), 1);
}

static void move(const struct lab *lab, const char *interface, enum lab_place place)
{
    char command[64];

    snprintf(command, sizeof command, "link set %s netns /proc/%d/fd/%d\n", interface, getpid(),
             lab->ns[place]);
    lab_ip(lab, LAB_RELAY, command);
}

bool lab_open(struct lab *lab)
{
    for (int i = 0; i < LAB_PLACES; i++)
        lab->ns[i] = lab->raw[i] = -1;
    for (int i = 0; i < LAB_PLACES; i++) {
        if (unshare(CLONE_NEWNET) < 0) {
            perror("unshare");
            return false;
        }
        lab->ns[i] = own_namespace();
    }
    lab_ip(lab, LAB_RELAY, relay_network);
    move(lab, "a0", LAB_A);
    move(lab, "b0", LAB_B);
    lab_ip(lab, LAB_A, a_network);
    lab_ip(lab, LAB_B, b_network);
    lab_offload(lab, LAB_RELAY, "r0", false);
    lab_offload(lab, LAB_RELAY, "r1", false);
    lab->raw[LAB_A] = open_raw(lab, LAB_A, "a0");
    lab->raw[LAB_B] = open_raw(lab, LAB_B, "b0");
    lab_enter(lab, LAB_RELAY);
    open_flush(lab);
    return true;
}

void lab_close(struct lab *lab)
{
    for (int i = 0; i < LAB_PLACES; i++) {
        if (lab->raw[i] >= 0)
            close(lab->raw[i]);
        if (lab->ns[i] >= 0)
            close(lab->ns[i]);
    }
    close(lab->flush[0]);
    close(lab->flush[1]);
}

// ---- frames ----

static void put_u16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint16_t get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

// RFC 1071, the long way.
static uint32_t sum(uint32_t sum, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
    while (sum > 0xffff)
        sum = (sum >> 16) + (sum & 0xffff);
    return sum;
}

static uint32_t udp_sum(const uint8_t *ip, const uint8_t *udp, size_t len)
{
    bool v6 = ip[0] >> 4 == 6;
    uint32_t s = sum((uint32_t)len + IPPROTO_UDP, v6 ? ip + 8 : ip + 12, v6 ? 32 : 8);

    return sum(s, udp, len);
}

bool lab_sums_right(const uint8_t *frame, size_t len)
{
    bool v4 = len >= 42 && get_u16(frame + 12) == ETHERTYPE_IP && frame[14] == 0x45;
    bool v6 = len >= 62 && get_u16(frame + 12) == ETHERTYPE_IPV6;
    const uint8_t *ip = frame + 14, *udp = ip + (v4 ? 20 : 40);

    if (v4 && sum(0, ip, 20) != 0xffff)
        return false;
    if ((!v4 && !v6) || (v4 && (ip[9] != IPPROTO_UDP || get_u16(ip + 6) & 0x3fff)) ||
        (v6 && ip[6] != IPPROTO_UDP) || (v4 && get_u16(udp + 6) == 0))
        return true;
    return udp + get_u16(udp + 4) <= frame + len && udp_sum(ip, udp, get_u16(udp + 4)) == 0xffff;
}

static size_t put_ip(uint8_t *ip, const struct datagram *d)
{
    if (d->from.family == FAMILY_V4) {
        const uint8_t head[20] = {0x45, d->tos, 0, 0, 0, 0, 0, 0, d->ttl, IPPROTO_UDP};
        memcpy(ip, head, sizeof head);
        put_u16(ip + 2, (uint32_t)(28 + d->len));
        put_u16(ip + 4, d->id);
        put_u16(ip + 6, d->dont_fragment ? 0x4000 : 0);
        memcpy(ip + 12, d->from.ip, 4);
        memcpy(ip + 16, d->to.ip, 4);
        put_u16(ip + 10, ~sum(0, ip, 20));
        return 20;
    }
    put_u16(ip, 0x6000u | (uint32_t)d->tos << 4 | (d->label >> 16 & 0xf));
    put_u16(ip + 2, d->label);
    put_u16(ip + 4, (uint32_t)(8 + d->len));
    ip[6] = IPPROTO_UDP;
    ip[7] = d->ttl;
    memcpy(ip + 8, d->from.ip, 16);
    memcpy(ip + 24, d->to.ip, 16);
    return 40;
}

size_t lab_frame(enum lab_place from, const struct datagram *d, uint8_t *frame)
{
    const uint8_t ethernet[12] = {RELAY_MAC, PEER_MAC};
    uint8_t *ip = frame + 14, *udp;
    uint16_t check;

    memcpy(frame, ethernet, sizeof ethernet);
    if (from == LAB_B)
        frame[5]++, frame[11]++;
    put_u16(frame + 12, d->from.family == FAMILY_V4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);
    udp = ip + put_ip(ip, d);
    put_u16(udp, d->from.port);
    put_u16(udp + 2, d->to.port);
    put_u16(udp + 4, (uint32_t)(8 + d->len));
    put_u16(udp + 6, 0);
    memcpy(udp + 8, d->payload, d->len);
    check = (uint16_t)~udp_sum(ip, udp, 8 + d->len);
    if (!d->no_checksum)
        put_u16(udp + 6, check ? check : 0xffff);
    return (size_t)(udp - frame) + 8 + d->len;
}

static size_t get_ip(const uint8_t *ip, struct datagram *d)
{
    if (ip[0] == 0x45 && ip[9] == IPPROTO_UDP) {
        assert_int_equal(sum(0, ip, 20), 0xffff);
        d->from = addr_v4(ip + 12, 0);
        d->to = addr_v4(ip + 16, 0);
        d->tos = ip[1];
        d->ttl = ip[8];
        d->id = get_u16(ip + 4);
        d->dont_fragment = ip[6] & 0x40;
        assert_int_equal(get_u16(ip + 6) & 0x3fff, 0);
        return 20;
    }
    if (ip[0] >> 4 == 6 && ip[6] == IPPROTO_UDP) {
        d->from = addr_v6(ip + 8, 0);
        d->to = addr_v6(ip + 24, 0);
        d->tos = (uint8_t)(get_u16(ip) >> 4);
        d->ttl = ip[7];
        d->label = (uint32_t)(ip[1] & 0xf) << 16 | get_u16(ip + 2);
        return 40;
    }
    return 0;
}

static bool get_datagram(const uint8_t *frame, size_t len, struct datagram *d)
{
    const uint8_t *ip = frame + 14, *udp;
    size_t ip_len;

    *d = (struct datagram){0};
    ip_len = len < 62 && len < 42 ? 0 : get_ip(ip, d);
    if (ip_len == 0)
        return false;
    udp = ip + ip_len;
    d->from.port = get_u16(udp);
    d->to.port = get_u16(udp + 2);
    d->len = get_u16(udp + 4) - 8u;
    d->no_checksum = get_u16(udp + 6) == 0;
    assert_int_equal(d->len, len - 14 - ip_len - 8);
    assert_true(d->len <= sizeof d->payload);
    if (d->from.family == FAMILY_V6)
        assert_false(d->no_checksum);
    if (!d->no_checksum)
        assert_int_equal(udp_sum(ip, udp, 8 + d->len), 0xffff);
    memcpy(d->payload, udp + 8, d->len);
    return true;
}

// ---- in and out ----

void lab_send(const struct lab *lab, enum lab_place from, const void *frame, size_t len)
{
    assert_int_equal(send(lab->raw[from], frame, len, 0), (ssize_t)len);
}

void lab_say(const struct lab *lab, enum lab_place from, const struct datagram *d)
{
    uint8_t frame[sizeof d->payload + 64];

    lab_send(lab, from, frame, lab_frame(from, d, frame));
}

size_t lab_recv(const struct lab *lab, enum lab_place at, void *frame, size_t size, int msec)
{
    struct pollfd poller = {.fd = lab->raw[at], .events = POLLIN};

    while (poll(&poller, 1, msec) > 0) {
        struct sockaddr_ll from;
        socklen_t from_len = sizeof from;
        ssize_t n = recvfrom(lab->raw[at], frame, size, 0, (struct sockaddr *)&from, &from_len);
        if (n > 0 && from.sll_pkttype != PACKET_OUTGOING)
            return (size_t)n;
    }
    return 0;
}

bool lab_hear(const struct lab *lab, enum lab_place at, struct datagram *ret_datagram, int msec)
{
    static uint8_t frame[FRAME_MAX];
    size_t len;

    while ((len = lab_recv(lab, at, frame, sizeof frame, msec)) > 0)
        if (get_datagram(frame, len, ret_datagram))
            return true;
    return false;
}

struct addr lab_addr(const char *ip, uint16_t port)
{
    struct addr addr;

    assert_int_equal(addr_parse_ip(ip, port, &addr), 0);
    return addr;
}
