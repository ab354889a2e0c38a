// SPDX-License-Identifier: ISC
// One bit per port says what is open; the list of denied hosts only grows, so that readers need no
// lock.
#include "peers.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define DENIED_MAX 4096 // machines with containers have hundreds of addresses
#define WORD_BITS  64

struct allow_list { // owned
    struct prefix_list list;
    struct prefix item[];
};

struct peers {
    struct peers_config config;
    _Atomic(struct allow_list *) allow;             // NULL: config.allow is it
    struct allow_list *before;                      // that somebody may still read
    _Atomic uint64_t open[2][2][65536 / WORD_BITS]; // by protocol and family
    atomic_uint denied_count;
    struct addr denied[DENIED_MAX];
};

int peers_new(const struct peers_config *config, struct peers **ret_peers)
{
    struct peers *peers = calloc(1, sizeof *peers);

    if (!peers)
        return -ENOMEM;
    peers->config = *config;
    *ret_peers = peers;
    return 0;
}

void peers_free(struct peers *peers)
{
    if (!peers)
        return;
    free(atomic_load(&peers->allow));
    free(peers->before);
    free(peers);
}

int peers_set_allow(struct peers *peers, const struct prefix_list *allow)
{
    size_t bytes = allow->count * sizeof(struct prefix);
    struct allow_list *copy = malloc(sizeof *copy + bytes);

    if (!copy)
        return -ENOMEM;
    if (bytes > 0)
        memcpy(copy->item, allow->item, bytes);
    copy->list = (struct prefix_list){copy->item, allow->count};
    free(peers->before);
    peers->before = atomic_exchange(&peers->allow, copy);
    return 0;
}

static bool is_allowed_range(const struct peers *peers, const struct addr *addr)
{
    const struct allow_list *own = atomic_load_explicit(&peers->allow, memory_order_acquire);

    return prefix_list_match(own ? &own->list : &peers->config.allow, addr);
}

static bool is_denied(const struct peers *peers, const struct addr *host)
{
    unsigned count = atomic_load_explicit(&peers->denied_count, memory_order_acquire);

    for (unsigned i = 0; i < count; i++) {
        if (addr_equal_ip(&peers->denied[i], host))
            return true;
    }
    return false;
}

int peers_deny(struct peers *peers, const struct addr *host)
{
    unsigned count = atomic_load_explicit(&peers->denied_count, memory_order_relaxed);

    if (is_denied(peers, host))
        return 0;
    if (count == DENIED_MAX)
        return -ENOSPC;
    peers->denied[count] = *host;
    atomic_store_explicit(&peers->denied_count, count + 1, memory_order_release);
    return 0;
}

static bool from_system(const struct sockaddr *sa, struct addr *ret_addr)
{
    uint8_t ip[16];

    if (sa && sa->sa_family == AF_INET) {
        memcpy(ip, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
        *ret_addr = addr_v4(ip, 0);
    } else if (sa && sa->sa_family == AF_INET6) {
        memcpy(ip, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
        *ret_addr = addr_v6(ip, 0);
    } else {
        return false;
    }
    return true;
}

// Nobody reaches it without a scope, and containers make thousands.
static bool is_of_a_link(const struct addr *addr)
{
    return addr->family == FAMILY_V6 && addr->ip[0] == 0xfe && (addr->ip[1] & 0xc0) == 0x80;
}

int peers_deny_this_host(struct peers *peers)
{
    struct ifaddrs *list;
    struct addr addr;
    int r = 0;

    if (getifaddrs(&list) < 0)
        return -errno;
    for (const struct ifaddrs *i = list; i && r == 0; i = i->ifa_next) {
        if (from_system(i->ifa_addr, &addr) && !is_of_a_link(&addr))
            r = peers_deny(peers, &addr);
    }
    freeifaddrs(list);
    return r;
}

static unsigned family_index(const struct addr *addr)
{
    return addr->family == FAMILY_V6 ? 1 : 0;
}

static uint64_t port_bit(uint16_t port)
{
    return UINT64_C(1) << port % WORD_BITS;
}

static _Atomic uint64_t *port_word(struct peers *peers, enum peers_protocol protocol,
                                   const struct addr *addr)
{
    return &peers->open[protocol][family_index(addr)][addr->port / WORD_BITS];
}

void peers_port_opened(struct peers *peers, enum peers_protocol protocol, const struct addr *bound)
{
    atomic_fetch_or(port_word(peers, protocol, bound), port_bit(bound->port));
}

void peers_port_closed(struct peers *peers, enum peers_protocol protocol, const struct addr *bound)
{
    atomic_fetch_and(port_word(peers, protocol, bound), ~port_bit(bound->port));
}

static bool port_is_open(const struct peers *peers, enum peers_protocol protocol,
                         const struct addr *addr)
{
    const _Atomic uint64_t *words = peers->open[protocol][family_index(addr)];

    return atomic_load_explicit(&words[addr->port / WORD_BITS], memory_order_relaxed) &
           port_bit(addr->port);
}

// The relay's own address of the same family, by either of its names.
static bool is_relay(const struct peers *peers, const struct addr *addr)
{
    unsigned f = family_index(addr);

    return addr_equal_ip(addr, &peers->config.bind[f]) ||
           addr_equal_ip(addr, &peers->config.advertise[f]);
}

bool peers_is_port(const struct peers *peers, enum peers_protocol protocol, const struct addr *addr)
{
    return is_relay(peers, addr) && port_is_open(peers, protocol, addr);
}

static bool allowed(const struct peers *peers, const struct addr *peer)
{
    if (is_relay(peers, peer))
        return peer->port == 0 || port_is_open(peers, PEERS_UDP, peer) ||
               port_is_open(peers, PEERS_TCP, peer);
    if (is_denied(peers, peer))
        return false;
    return is_allowed_range(peers, peer) || !addr_is_special(peer);
}

bool peers_allowed(const struct peers *peers, const struct addr *peer)
{
    struct addr inner = addr_unwrap(peer);

    if (addr_equal(&inner, peer))
        return allowed(peers, peer);
    // A translator stands in between: whatever is behind it counts too, and the relay's own ports
    // are not reached that way.
    return !is_relay(peers, &inner) && allowed(peers, &inner) && allowed(peers, peer);
}

bool peers_route(const struct peers *peers, enum peers_protocol protocol, struct addr *to)
{
    // A channel outlives what was known when it was bound, such as where the XMPP server is.
    if (!is_relay(peers, to))
        return !is_denied(peers, to);
    if (!port_is_open(peers, protocol, to))
        return false;
    uint16_t port = to->port;
    *to = peers->config.bind[family_index(to)];
    to->port = port;
    return true;
}

struct addr peers_sender(const struct peers *peers, const struct addr *from)
{
    unsigned f = family_index(from);
    struct addr sender = *from;

    if (addr_equal_ip(from, &peers->config.bind[f]) &&
        peers->config.advertise[f].family != FAMILY_NONE) {
        sender = peers->config.advertise[f];
        sender.port = from->port;
    }
    return sender;
}
