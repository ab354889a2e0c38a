// SPDX-License-Identifier: ISC
// rtnetlink(7), as far as the fast path asks it; see fastpath_net.h. Questions are answered at
// once, within the call that sends them, so nothing here waits.
#include "fastpath_net.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX 32768

struct request {
    struct nlmsghdr head;
    union {
        struct rtmsg route;
        struct ifinfomsg link;
        struct ifaddrmsg addr;
        uint8_t room[256]; // with attributes
    } u;
};

union answer {
    struct nlmsghdr head;
    uint8_t data[ANSWER_MAX];
};

// Called for each message of an answer. Returns 0 to go on or -errno.
typedef int (*net_message)(void *ctx, const struct nlmsghdr *message);

int net_open(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    return fd < 0 ? -errno : fd;
}

int net_watch(void)
{
    static const int groups[] = {RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                                 RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,  RTNLGRP_IPV4_RULE,
                                 RTNLGRP_IPV6_RULE};
    const struct sockaddr_nl any = {.nl_family = AF_NETLINK}; // without an address none hears
    int rc, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    if (fd < 0)
        return -errno;
    rc = bind(fd, (const struct sockaddr *)&any, sizeof any);
    for (size_t i = 0; rc == 0 && i < sizeof groups / sizeof *groups; i++)
        rc = setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof groups[i]);
    if (rc < 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

// ENOBUFS says that something was lost, which is a change as well.
void net_drain(int fd)
{
    uint8_t data[4096];

    while (recv(fd, data, sizeof data, 0) >= 0 || errno == ENOBUFS)
        ;
}

// ---- asking ----

static void begin(struct request *r, uint16_t type, uint16_t flags, size_t body)
{
    memset(r, 0, sizeof *r);
    r->head.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
    r->head.nlmsg_type = type;
    r->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
}

static void add(struct request *r, uint16_t type, const void *data, size_t len)
{
    struct rtattr attr = {.rta_len = (uint16_t)RTA_LENGTH(len), .rta_type = type};
    uint8_t *at = (uint8_t *)r + NLMSG_ALIGN(r->head.nlmsg_len);

    memcpy(at, &attr, sizeof attr);
    memcpy(at + RTA_LENGTH(0), data, len);
    r->head.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->head.nlmsg_len) + RTA_SPACE(len));
}

// The macros of the system's headers for this cast const away.
static const void *behind(const void *header, size_t len)
{
    return (const uint8_t *)header + NLMSG_ALIGN(len);
}

// Hands on the messages of one datagram. Returns 1 when more are to come.
static int read_messages(union answer *answer, size_t len, net_message each, void *ctx)
{
    int more = 0, rc;

    for (const struct nlmsghdr *m = &answer->head; NLMSG_OK(m, len);) {
        more = m->nlmsg_flags & NLM_F_MULTI;
        if (m->nlmsg_type == NLMSG_DONE)
            return 0;
        if (m->nlmsg_type == NLMSG_ERROR) {
            const struct nlmsgerr *error = behind(m, sizeof *m);
            return error->error;
        }
        rc = each(ctx, m);
        if (rc < 0)
            return rc;
        if (NLMSG_ALIGN(m->nlmsg_len) >= len)
            break;
        len -= NLMSG_ALIGN(m->nlmsg_len);
        m = behind(m, m->nlmsg_len);
    }
    return more ? 1 : 0;
}

static int ask(int fd, const struct request *r, net_message each, void *ctx)
{
    union answer answer;
    int rc = 1;

    if (send(fd, r, r->head.nlmsg_len, 0) < 0)
        return -errno;
    while (rc > 0) {
        ssize_t n = recv(fd, &answer, sizeof answer, 0);
        rc = n < 0 ? -errno : read_messages(&answer, (size_t)n, each, ctx);
    }
    return rc;
}

// The attribute of this type, or NULL.
static const struct rtattr *find(const struct rtattr *attr, size_t room, unsigned short type)
{
    while (room >= sizeof *attr && attr->rta_len >= sizeof *attr && attr->rta_len <= room) {
        size_t step = RTA_ALIGN(attr->rta_len);
        if ((attr->rta_type & ~NLA_F_NESTED) == type)
            return attr;
        if (step >= room)
            break;
        room -= step;
        attr = (const void *)((const char *)attr + step);
    }
    return NULL;
}

static bool read_u32(const struct rtattr *attr, uint32_t *ret_value)
{
    if (!attr || RTA_PAYLOAD(attr) < sizeof *ret_value)
        return false;
    memcpy(ret_value, behind(attr, sizeof *attr), sizeof *ret_value);
    return true;
}

static bool read_ip(const void *data, size_t len, struct addr *ret_addr)
{
    if (len == 4)
        *ret_addr = addr_v4(data, 0);
    else if (len == 16)
        *ret_addr = addr_v6(data, 0);
    else
        return false;
    return true;
}

// ---- interfaces and addresses ----

static int on_link(void *ctx, const struct nlmsghdr *m)
{
    struct net_links *links = ctx;
    const struct ifinfomsg *info = behind(m, sizeof *m);
    struct net_link *grown = realloc(links->item, (links->count + 1) * sizeof *links->item);
    uint32_t mtu = 0;

    if (!grown)
        return -ENOMEM;
    links->item = grown;
    (void)read_u32(find(behind(info, sizeof *info), IFLA_PAYLOAD(m), IFLA_MTU), &mtu);
    links->item[links->count++] = (struct net_link){
        .ifindex = info->ifi_index,
        .mtu = mtu,
        .ethernet = info->ifi_type == ARPHRD_ETHER,
        .up = info->ifi_flags & IFF_UP,
    };
    return 0;
}

int net_links_read(int fd, struct net_links *links)
{
    struct net_links read = {0};
    struct request r;
    int rc;

    begin(&r, RTM_GETLINK, NLM_F_DUMP, sizeof r.u.link);
    rc = ask(fd, &r, on_link, &read);
    if (rc < 0) {
        net_links_free(&read);
        return rc;
    }
    net_links_free(links);
    *links = read;
    return 0;
}

void net_links_free(struct net_links *links)
{
    free(links->item);
    *links = (struct net_links){0};
}

const struct net_link *net_link_find(const struct net_links *links, int ifindex)
{
    for (unsigned i = 0; i < links->count; i++)
        if (links->item[i].ifindex == ifindex)
            return &links->item[i];
    return NULL;
}

struct address_reader {
    void (*each)(void *ctx, int ifindex, const struct addr *addr);
    void *ctx;
};

static int on_address(void *ctx, const struct nlmsghdr *m)
{
    const struct address_reader *reader = ctx;
    const struct ifaddrmsg *info = behind(m, sizeof *m);
    // IFA_LOCAL where the two ends of a link have addresses.
    const struct rtattr *ip = find(behind(info, sizeof *info), IFA_PAYLOAD(m), IFA_LOCAL);
    struct addr addr;

    if (!ip)
        ip = find(behind(info, sizeof *info), IFA_PAYLOAD(m), IFA_ADDRESS);
    if (ip && read_ip(behind(ip, sizeof *ip), RTA_PAYLOAD(ip), &addr))
        reader->each(reader->ctx, (int)info->ifa_index, &addr);
    return 0;
}

int net_addresses(int fd, void (*each)(void *ctx, int ifindex, const struct addr *addr), void *ctx)
{
    struct address_reader reader = {.each = each, .ctx = ctx};
    struct request r;

    begin(&r, RTM_GETADDR, NLM_F_DUMP, sizeof r.u.addr);
    return ask(fd, &r, on_address, &reader);
}

// ---- ways out ----

static void read_hop(const struct rtmsg *route, size_t len, struct net_way *way)
{
    const struct rtattr *gateway = find(behind(route, sizeof *route), len, RTA_GATEWAY);
    const struct rtattr *via =
        find(behind(route, sizeof *route), len, RTA_VIA); // IPv4 by way of IPv6

    if (gateway)
        (void)read_ip(behind(gateway, sizeof *gateway), RTA_PAYLOAD(gateway), &way->hop);
    else if (via && RTA_PAYLOAD(via) > sizeof(struct rtvia))
        (void)read_ip((const uint8_t *)behind(via, sizeof *via) + sizeof(struct rtvia),
                      RTA_PAYLOAD(via) - sizeof(struct rtvia), &way->hop);
}

static int on_route(void *ctx, const struct nlmsghdr *m)
{
    struct net_way *way = ctx;
    const struct rtmsg *route = behind(m, sizeof *m);
    size_t len = RTM_PAYLOAD(m);
    const struct rtattr *metrics = find(behind(route, sizeof *route), len, RTA_METRICS);
    uint32_t oif, mtu;

    // What is put around packets on their way (MPLS, SRv6, ...) only a socket's get.
    if (route->rtm_type != RTN_UNICAST || find(behind(route, sizeof *route), len, RTA_ENCAP) ||
        !read_u32(find(behind(route, sizeof *route), len, RTA_OIF), &oif))
        return -EHOSTUNREACH;
    way->ifindex = (int)oif;
    read_hop(route, len, way);
    if (metrics &&
        read_u32(find(behind(metrics, sizeof *metrics), RTA_PAYLOAD(metrics), RTAX_MTU), &mtu))
        way->mtu = mtu;
    return 0;
}

static void build_route(struct request *r, const struct addr *leave, const struct addr *to)
{
    bool v6 = to->family == FAMILY_V6;
    size_t len = v6 ? 16 : 4;
    const uint8_t protocol = IPPROTO_UDP;
    const uint16_t source = htons(leave->port), destination = htons(to->port);

    begin(r, RTM_GETROUTE, 0, sizeof r->u.route);
    r->u.route.rtm_family = v6 ? AF_INET6 : AF_INET;
    r->u.route.rtm_dst_len = r->u.route.rtm_src_len = (uint8_t)(len * 8);
    add(r, RTA_DST, to->ip, len);
    add(r, RTA_SRC, leave->ip, len);
    add(r, RTA_IP_PROTO, &protocol, sizeof protocol);
    add(r, RTA_SPORT, &source, sizeof source);
    add(r, RTA_DPORT, &destination, sizeof destination);
}

int net_way(int fd, const struct net_links *links, const struct addr *leave, const struct addr *to,
            struct net_way *ret_way)
{
    struct net_way way = {.hop = *to};
    const struct net_link *link;
    struct request r;
    int rc;

    if (leave->family != to->family || (to->family != FAMILY_V4 && to->family != FAMILY_V6))
        return -EHOSTUNREACH;
    build_route(&r, leave, to);
    rc = ask(fd, &r, on_route, &way);
    if (rc == -ENOMEM || rc == -ENOBUFS)
        return rc;
    link = rc < 0 ? NULL : net_link_find(links, way.ifindex);
    if (!link || !link->ethernet || !link->up)
        return -EHOSTUNREACH;
    if (way.mtu == 0 || way.mtu > link->mtu)
        way.mtu = link->mtu;
    way.hop.port = 0;
    *ret_way = way;
    return 0;
}
