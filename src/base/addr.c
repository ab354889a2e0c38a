// SPDX-License-Identifier: ISC
// Addresses and prefixes, and which of them a packet may not be sent to.
#include "base/addr.h"

#include <arpa/inet.h> // inet_pton() and inet_ntop() only: text and bytes, no sockets
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped_net[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct addr addr_v4(const uint8_t ip[4], uint16_t port)
{
    struct addr addr = {.port = port, .family = FAMILY_V4};
    memcpy(addr.ip, ip, 4);
    return addr;
}

struct addr addr_v6(const uint8_t ip[16], uint16_t port)
{
    if (memcmp(ip, mapped_net, sizeof mapped_net) == 0)
        return addr_v4(ip + 12, port);
    struct addr addr = {.port = port, .family = FAMILY_V6};
    memcpy(addr.ip, ip, 16);
    return addr;
}

int addr_parse_ip(const char *text, uint16_t port, struct addr *ret_addr)
{
    uint8_t ip[16];
    if (inet_pton(AF_INET, text, ip) == 1)
        *ret_addr = addr_v4(ip, port);
    else if (inet_pton(AF_INET6, text, ip) == 1)
        *ret_addr = addr_v6(ip, port);
    else
        return -EINVAL;
    return 0;
}

const char *addr_format_ip(const struct addr *addr, char buf[ADDR_TEXT_MAX])
{
    int af = addr->family == FAMILY_V4 ? AF_INET : AF_INET6;
    if (addr->family == FAMILY_NONE || !inet_ntop(af, addr->ip, buf, ADDR_TEXT_MAX))
        snprintf(buf, ADDR_TEXT_MAX, "-");
    return buf;
}

const char *addr_format(const struct addr *addr, char buf[ADDR_TEXT_MAX])
{
    char ip[ADDR_TEXT_MAX];
    addr_format_ip(addr, ip);
    if (addr->family == FAMILY_NONE)
        snprintf(buf, ADDR_TEXT_MAX, "-");
    else if (addr->family == FAMILY_V4)
        snprintf(buf, ADDR_TEXT_MAX, "%.15s:%u", ip, (unsigned)addr->port);
    else
        snprintf(buf, ADDR_TEXT_MAX, "[%.46s]:%u", ip, (unsigned)addr->port);
    return buf;
}

bool addr_equal_ip(const struct addr *a, const struct addr *b)
{
    size_t len = a->family == FAMILY_V4 ? 4 : 16;
    return a->family == b->family && memcmp(a->ip, b->ip, len) == 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->port == b->port && addr_equal_ip(a, b);
}

static unsigned family_bits(const struct addr *addr)
{
    return addr->family == FAMILY_V4 ? 32 : 128;
}

// True when all bits of 'ip' from 'first' up to 'end' are zero.
static bool zero_bits(const uint8_t *ip, unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++) {
        if (ip[i / 8] & 0x80u >> i % 8)
            return false;
    }
    return true;
}

// Decimal digits without sign, space or leading zero.
static int parse_bits(const char *text, unsigned max, unsigned *ret_bits)
{
    unsigned value = 0;
    if (!*text || (text[0] == '0' && text[1]))
        return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        value = value * 10 + (unsigned)(*text - '0');
        if (value > max)
            return -EINVAL;
    }
    *ret_bits = value;
    return 0;
}

int prefix_parse(const char *text, struct prefix *ret_prefix)
{
    char ip[ADDR_TEXT_MAX];
    size_t len = strcspn(text, "/");
    if (len >= sizeof ip)
        return -EINVAL;
    memcpy(ip, text, len);
    ip[len] = '\0';

    struct prefix prefix = {0};
    if (addr_parse_ip(ip, 0, &prefix.net) < 0)
        return -EINVAL;
    unsigned max = family_bits(&prefix.net);
    // "::ffff:192.0.2.0/120" was stored as IPv4; its length still counts the 96 bits before.
    unsigned hidden = max == 32 && strchr(ip, ':') ? 96 : 0;
    unsigned bits = max + hidden;
    if (text[len] && parse_bits(text + len + 1, max + hidden, &bits) < 0)
        return -EINVAL;
    if (bits < hidden || !zero_bits(prefix.net.ip, bits - hidden, max))
        return -EINVAL;
    prefix.bits = (uint8_t)(bits - hidden);
    *ret_prefix = prefix;
    return 0;
}

bool prefix_match(const struct prefix *prefix, const struct addr *addr)
{
    if (prefix->net.family != addr->family || addr->family == FAMILY_NONE)
        return false;
    size_t whole = prefix->bits / 8;
    if (memcmp(prefix->net.ip, addr->ip, whole) != 0)
        return false;
    unsigned rest = prefix->bits % 8;
    return rest == 0 || (prefix->net.ip[whole] ^ addr->ip[whole]) >> (8 - rest) == 0;
}

bool prefix_list_match(const struct prefix_list *list, const struct addr *addr)
{
    for (size_t i = 0; i < list->count; i++) {
        if (prefix_match(&list->item[i], addr))
            return true;
    }
    return false;
}

int prefix_list_add(struct prefix_list *list, const struct prefix *prefix)
{
    struct prefix *item = reallocarray(list->item, list->count + 1, sizeof *item);
    if (!item)
        return -ENOMEM;
    item[list->count++] = *prefix;
    list->item = item;
    return 0;
}

void prefix_list_clear(struct prefix_list *list)
{
    if (!list)
        return;
    free(list->item);
    *list = (struct prefix_list){0};
}

// ---- special-purpose addresses ----

#define V4(a, b, c, d, n)                                                                          \
    {                                                                                              \
        .net = {.ip = {a, b, c, d}, .family = FAMILY_V4}, .bits = (n)                              \
    }
#define H(x) (uint8_t)((x) >> 8), (uint8_t)((x)&0xff)
// The first four hextets of the prefix; in those below the others are zero.
#define V6(a, b, c, d, n)                                                                          \
    {                                                                                              \
        .net = {.ip = {H(a), H(b), H(c), H(d)}, .family = FAMILY_V6}, .bits = (n)                  \
    }

// Every entry of the two IANA registries counts, the few that they call globally reachable (AS112,
// AMT, PCP and TURN anycast) too: those are services, no caller lives there. Then multicast, and
// what is not assigned for unicast use: IPv4 240/4, IPv6 outside 2000::/3.
static const struct prefix special[] = {
    V4(0, 0, 0, 0, 8),           // this network, RFC 791
    V4(10, 0, 0, 0, 8),          // private use, RFC 1918
    V4(100, 64, 0, 0, 10),       // shared address space, RFC 6598
    V4(127, 0, 0, 0, 8),         // loopback, RFC 1122
    V4(169, 254, 0, 0, 16),      // link local, RFC 3927
    V4(172, 16, 0, 0, 12),       // private use, RFC 1918
    V4(192, 0, 0, 0, 24),        // IETF protocol assignments, RFC 6890
    V4(192, 0, 2, 0, 24),        // documentation, RFC 5737
    V4(192, 31, 196, 0, 24),     // AS112, RFC 7535
    V4(192, 52, 193, 0, 24),     // AMT, RFC 7450
    V4(192, 88, 99, 0, 24),      // 6to4 relay anycast, RFC 7526
    V4(192, 168, 0, 0, 16),      // private use, RFC 1918
    V4(192, 175, 48, 0, 24),     // AS112, RFC 7534
    V4(198, 18, 0, 0, 15),       // benchmarking, RFC 2544
    V4(198, 51, 100, 0, 24),     // documentation, RFC 5737
    V4(203, 0, 113, 0, 24),      // documentation, RFC 5737
    V4(224, 0, 0, 0, 4),         // multicast, RFC 5771
    V4(240, 0, 0, 0, 4),         // future use and limited broadcast, RFC 1112, RFC 8190
    V6(0x0000, 0, 0, 0, 8),      // unspecified, loopback, SIIT, local-use NAT64 (RFC 8215)
    V6(0x0100, 0, 0, 0, 8),      // discard only (RFC 6666) and dummy (RFC 9780); the rest reserved
    V6(0x0200, 0, 0, 0, 7),      // reserved, RFC 4048
    V6(0x0400, 0, 0, 0, 6),      // reserved, RFC 4291
    V6(0x0800, 0, 0, 0, 5),      // reserved, RFC 4291
    V6(0x1000, 0, 0, 0, 4),      // reserved, RFC 4291
    V6(0x2001, 0, 0, 0, 23),     // IETF protocol assignments: Teredo, benchmarking, ORCHID, ...
    V6(0x2001, 0xdb8, 0, 0, 32), // documentation, RFC 3849
    V6(0x2620, 0x4f, 0x8000, 0, 48), // AS112, RFC 7534
    V6(0x3fff, 0, 0, 0, 20),         // documentation, RFC 9637
    V6(0x4000, 0, 0, 0, 2),          // reserved, RFC 4291; 5f00::/16 is SRv6, RFC 9602
    V6(0x8000, 0, 0, 0, 2),          // reserved, RFC 4291
    V6(0xc000, 0, 0, 0, 3),          // reserved, RFC 4291
    V6(0xe000, 0, 0, 0, 4),          // reserved, RFC 4291
    V6(0xf000, 0, 0, 0, 5),          // reserved, RFC 4291
    V6(0xf800, 0, 0, 0, 6),          // reserved, RFC 4291
    V6(0xfc00, 0, 0, 0, 7),          // unique local, RFC 4193
    V6(0xfe00, 0, 0, 0, 7),          // link local (RFC 4291), site local (RFC 3879), multicast
};

// IPv6 forms that lead to an IPv4 host, and where in them its address stands.
static const struct {
    struct prefix prefix;
    uint8_t at;
} embedding[] = {
    {{.net = {.ip = {[10] = 0xff, [11] = 0xff}, .family = FAMILY_V6}, .bits = 96}, 12}, // mapped
    {V6(0, 0, 0, 0, 96), 12},         // compatible
    {V6(0x64, 0xff9b, 0, 0, 96), 12}, // NAT64, RFC 6052
    {V6(0x2002, 0, 0, 0, 16), 2},     // 6to4, RFC 3056
};

struct addr addr_unwrap(const struct addr *addr)
{
    for (size_t i = 0; i < sizeof embedding / sizeof embedding[0]; i++) {
        if (prefix_match(&embedding[i].prefix, addr))
            return addr_v4(addr->ip + embedding[i].at, addr->port);
    }
    return *addr;
}

bool addr_is_special(const struct addr *addr)
{
    if (addr->family != FAMILY_V4 && addr->family != FAMILY_V6)
        return true;
    struct addr host = addr_unwrap(addr);
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) {
        if (prefix_match(&special[i], &host))
            return true;
    }
    return false;
}
